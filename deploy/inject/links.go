package inject

import (
	"fmt"
	"strconv"
)

// defaultLinks is what --max-links of the gate and --max-connections of the shim
// are where nobody says otherwise.
const defaultLinks = 256

// chooseLinks is by annotation. Without one it is for the gate's configuration
// to say.
func (c *choice) chooseLinks() (err error) {
	text, at, told := c.annotation(annotationLinks)
	if !told {
		return nil
	}
	if c.links, err = strconv.Atoi(text); err != nil || c.links < 1 {
		return c.errorf(at, "%s is %q; it must be how many processes of the tool server (or connections to it) there may be at once, at least 1", annotationLinks, text)
	}
	return nil
}

// shimLinks lets as many connections in at the shim as the gate may open.
func (c *choice) shimLinks() []string {
	if c.links <= defaultLinks {
		return nil
	}
	return []string{fmt.Sprintf("--max-connections=%d", c.links)}
}

// remarkLinks says what bounds the processes of a stdio tool server.
func (b *builder) remarkLinks() {
	bound := strconv.Itoa(b.links)
	if b.links == 0 {
		bound = fmt.Sprintf("%d unless its configuration says otherwise", defaultLinks)
	}
	b.remark("each session has a process of it, up to %s (%s): its memory limit must hold them", bound, annotationLinks)
}
