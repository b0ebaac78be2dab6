package inject

import (
	slashes "path"
	"strings"
)

// mount gives the tool server's container what the gate puts there. A mount of
// its own at the same place no cluster takes, and one further in would need a
// directory in a volume that is read-only, or is the gate's.
func (b *builder) mount(ours ...mount) error {
	own, _ := b.of("volumeMounts").([]any)
	for i, one := range own {
		at, _ := get(one, "mountPath").(string)
		for _, m := range ours {
			if within(at, m.MountPath) {
				return b.errorf(b.tool("volumeMounts", i, "mountPath"), "container %s mounts %v at %s, and the gate needs %s there for a volume of its own; mount it elsewhere",
					b.name(), get(one, "name"), at, m.MountPath)
			}
		}
	}
	b.first(b.tool(), "volumeMounts", ours)
	return nil
}

// within tells whether a path is that directory or further in.
func within(path, dir string) bool {
	return strings.HasPrefix(slashes.Clean("/"+path)+"/", dir+"/")
}
