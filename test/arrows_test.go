// Package test holds the test of the house itself: which package may import
// which.
package test

import (
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// A room is one package of the module with what it may import of the others.
type room struct {
	may  []string // paths below the module's
	says string   // the rule in a sentence, for whoever has broken it
}

// rooms is the house. An import points only right and down in ARCHITECTURE.md's
// drawing; rooms on one line do not import each other, and leaves import no
// room. Tests are not held to it.
var rooms = map[string]room{
	"cmd/sidegate": {
		may: []string{
			"proxy", "proxy/shim", "proxy/backend", "proxy/backend/stdio", "proxy/backend/socket", "proxy/backend/http", "proxy/backend/websocket",
			"limits", "proxy/wire", "deploy/inject", "deploy/fence",
		},
		says: "cmd/sidegate reads flags, environment and file, builds the backend and the limits, and hands them to proxy; " +
			"what happens to a request is not its business",
	},
	"proxy": {
		may: []string{
			"proxy/guard", "proxy/frontend/streamable", "proxy/frontend/sse", "proxy/frontend/websocket", "proxy/session", "proxy/stateless",
			"proxy/era", "proxy/bridge/modern", "proxy/bridge/legacy", "proxy/mirror", "proxy/cache/desk", "proxy/cache", "proxy/share",
			"proxy/stream", "proxy/link", "proxy/backend",
			"limits", "proxy/wire", "proxy/mcp", "proxy/refusal", "proxy/metrics",
		},
		says: "proxy joins the rooms below it; backends it knows by their interface, and cmd/sidegate builds them",
	},
	"proxy/guard": {
		may:  []string{"limits", "proxy/headers", "proxy/wire", "proxy/mcp", "proxy/refusal"},
		says: "guard decides who and what may come in from the request alone; it holds no session, stream or link",
	},
	"proxy/frontend/streamable": {
		may:  []string{"proxy/session", "proxy/stateless", "proxy/share", "proxy/stream", "proxy/wire", "proxy/mcp", "proxy/refusal"},
		says: "a frontend turns its wire form into messages of a session and back; guard has been passed before it, and links are behind the session",
	},
	"proxy/frontend/sse": {
		may:  []string{"proxy/session", "proxy/stream", "proxy/wire", "proxy/mcp", "proxy/refusal"},
		says: "a frontend turns its wire form into messages of a session and back; guard has been passed before it, and links are behind the session",
	},
	"proxy/frontend/websocket": {
		may:  []string{"proxy/session", "proxy/stateless", "proxy/share", "proxy/stream", "proxy/ws", "proxy/wire", "proxy/mcp", "proxy/refusal"},
		says: "a frontend turns its wire form into messages of a session and back; guard has been passed before it, and links are behind the session",
	},
	"proxy/session": {
		may: []string{
			"proxy/stream", "proxy/share", "proxy/link", "proxy/backend", "registry", "limits",
			"proxy/wire", "proxy/mcp", "proxy/refusal", "proxy/metrics",
		},
		says: "a session joins a place at the tool server with streams; it knows no HTTP and no kind of backend",
	},
	"proxy/cache": {
		may:  []string{"proxy/link", "proxy/wire", "proxy/mcp", "proxy/refusal", "proxy/metrics", "proxy/backend"},
		says: "cache keeps answers and joins calls; by which way a call reaches the server it is told by an interface of its own",
	},
	"proxy/cache/desk": {
		may:  []string{"proxy/cache", "proxy/share", "proxy/link", "proxy/backend", "proxy/wire", "proxy/mcp", "proxy/refusal", "proxy/metrics"},
		says: "the desk stands in front of another, and knows the store and share's interfaces",
	},
	"proxy/mirror": {
		may:  []string{"proxy/share", "proxy/link", "proxy/backend", "proxy/headers", "proxy/wire", "proxy/mcp", "proxy/refusal", "proxy/metrics"},
		says: "mirror stands in front of another desk and knows the headers of a message; who uses it, and what is behind, it is not told",
	},
	"proxy/headers": {
		may:  []string{"proxy/wire", "proxy/mcp"},
		says: "headers is a leaf: it knows what a header says of a message, and no HTTP",
	},
	"proxy/bridge/legacy": {
		may:  []string{"proxy/share", "proxy/link", "proxy/backend", "proxy/headers", "proxy/wire", "proxy/mcp", "proxy/refusal", "proxy/metrics"},
		says: "the bridge for legacy clients reaches the server through a desk and the client through share's interface; it knows no sessions and no streams",
	},
	"proxy/era": {
		may:  []string{"proxy/share", "proxy/link", "proxy/backend", "proxy/headers", "proxy/wire", "proxy/mcp", "proxy/refusal", "proxy/metrics"},
		says: "era finds what a server speaks and leads clients to what serves them; bridges, desks and sharers it knows by the interfaces of share",
	},
	"proxy/stateless": {
		may:  []string{"proxy/stream", "proxy/share", "proxy/link", "proxy/backend", "proxy/wire", "proxy/mcp", "proxy/refusal", "proxy/metrics"},
		says: "stateless joins a modern call with its stream and its desk; it knows no HTTP and no era but the modern one",
	},
	"proxy/bridge/modern": {
		may: []string{
			"proxy/bridge/seal", "proxy/share", "proxy/link", "proxy/backend",
			"proxy/wire", "proxy/mcp", "proxy/refusal", "proxy/metrics",
		},
		says: "the bridge for modern clients is a desk over places; it starts no links, and knows neither streams nor HTTP",
	},
	"proxy/bridge/seal": {may: []string{"proxy/wire"}, says: "seal is a leaf: what is given a client to keep, sealed"},
	"proxy/share": {
		may:  []string{"proxy/cache", "proxy/link", "proxy/backend", "proxy/wire", "proxy/mcp", "proxy/refusal", "proxy/metrics"},
		says: "share decides which link a call uses; it knows sessions by an interface of its own, and no streams",
	},
	"proxy/stream": {
		may:  []string{"proxy/poll", "proxy/rawio", "proxy/wire", "proxy/refusal"},
		says: "stream owns connections and carries bytes; what the bytes mean is known elsewhere",
	},
	"proxy/link": {
		may:  []string{"proxy/backend", "proxy/wire", "proxy/mcp", "proxy/refusal", "proxy/metrics"},
		says: "link uses one connection of any backend; it knows no client's side, so neither session nor stream",
	},
	"proxy/backend": {
		may:  []string{"proxy/wire"},
		says: "backend is an interface over messages and knows nobody who uses it",
	},
	"proxy/backend/lines": {
		may:  []string{"proxy/backend", "proxy/wire"},
		says: "lines is what the backends whose messages are lines have in common, and opens no connection itself",
	},
	"proxy/backend/stdio": {
		may:  []string{"proxy/backend", "proxy/backend/lines", "proxy/rawio", "proxy/wire"},
		says: "a kind of backend knows the interface it fulfils and the framing, and nobody who uses it",
	},
	"proxy/backend/socket": {
		may:  []string{"proxy/backend", "proxy/backend/lines", "proxy/rawio", "proxy/wire"},
		says: "a kind of backend knows the interface it fulfils and the framing, and nobody who uses it",
	},
	"proxy/backend/websocket": {
		may:  []string{"proxy/backend", "proxy/backend/lines", "proxy/ws", "proxy/wire"},
		says: "a kind of backend knows the interface it fulfils and the framing, and nobody who uses it",
	},
	"proxy/backend/http": {
		may:  []string{"proxy/backend", "proxy/rawio", "proxy/wire", "proxy/mcp"},
		says: "a kind of backend knows the interface it fulfils, the framing and the protocol's facts, and nobody who uses it",
	},
	"proxy/backend/contract": {
		may:  []string{"proxy/backend", "proxy/wire"},
		says: "the contract knows the interface that it holds every kind of backend to",
	},
	"proxy/shim": {
		may:  []string{"proxy/backend", "proxy/backend/lines", "limits", "proxy/wire", "proxy/refusal"},
		says: "the shim joins a socket with a child and is handed the backend; of the gate itself it knows nothing",
	},
	"proxy/refusal": {
		may:  []string{"proxy/mcp"},
		says: "the table of refusals is a leaf: of ours it knows only the protocol's numbers",
	},
	"proxy/ws": {
		may:  []string{"proxy/wire"},
		says: "ws speaks WebSocket at either end; messages are bytes to it, and it knows nobody who sends them",
	},
	"proxy/wire":    {says: "wire is a leaf: bytes in, bytes out"},
	"proxy/mcp":     {says: "mcp is a leaf: the protocol's facts"},
	"proxy/metrics": {says: "metrics is a leaf: the collectors, which others move"},
	"deploy/inject": {says: "inject works on the text of manifests, and knows the gate by its command line"},
	"limits":        {says: "limits is a leaf: it knows keys and numbers, not HTTP"},
	"proxy/rawio":   {says: "rawio is a leaf: system calls on descriptors, whatever goes over them"},
	"proxy/poll":    {says: "poll is a leaf: it waits for descriptors, and knows nothing of what comes on them"},
	"registry":      {says: "registry is a leaf: it holds any value under an unguessable id"},

	"deploy/fence": {says: "the fence is put in before the gate starts, by a process of its own, and shares nothing with it"},

	"test":             {says: "tests know the gate by its binary"},
	"test/chaos":       {says: "tests know the gate by its binary"},
	"test/clients":     {says: "tests know the gate by its binary"},
	"test/conformance": {says: "tests know the gate by its binary"},
	"test/e2e":         {says: "tests know the gate by its binary"},
	"test/fence":       {says: "tests know the gate by its binary"},
	"test/framing":     {says: "tests know the gate by its binary"},
	"test/deploy":      {says: "tests know the gate by its binary"},
	"test/image":       {says: "tests know the gate by its image"},

	"test/clients/need":     {says: "what tests share knows the gate by its binary"},
	"test/e2e/harness":      {says: "what tests share knows the gate by its binary"},
	"test/netns":            {says: "netns puts processes into namespaces, and knows nothing of the gate"},
	"test/fixture":          {says: "the fixture is a tool server that shares no code with the gate"},
	"test/conformance/peer": {says: "the peer is a server that shares no code with the gate"},

	"test/load": {
		may:  []string{"test/load/run", "test/load/drive", "test/load/serve", "test/load/subject"},
		says: "load reads flags and starts what it is told to; what is measured and how is known below it",
	},
	"test/load/run": {
		may:  []string{"test/load/drive", "test/load/measure", "test/load/subject"},
		says: "runs put subjects beside each other, and know the gate by its binary",
	},
	"test/load/subject": {
		may: []string{"test/load/drive", "test/load/measure"}, says: "a subject is a process and a door, and the gate is one of them",
	},
	"test/load/drive":   {may: []string{"test/load/rpc"}, says: "callers know doors, and nobody who is behind them"},
	"test/load/serve":   {may: []string{"test/load/rpc"}, says: "the servers share no code with the gate"},
	"test/load/measure": {says: "measure is a leaf: what the kernel tells of processes"},
	"test/load/rpc":     {says: "rpc is a leaf that shares no code with the gate, whose answers it is used to judge"},

	"test/conformance/driver":        {says: "the driver is a client that knows the gate by its binary"},
	"test/conformance/servers/tools": {says: "the servers share no code with the gate"},
	"test/conformance/servers/legacy": {
		may: []string{"test/conformance/servers/tools"}, says: "the servers share their tools, and no code with the gate",
	},
	"test/conformance/servers/modern": {
		may: []string{"test/conformance/servers/tools"}, says: "the servers share their tools, and no code with the gate",
	},
}

// holders are the packages that alone may import what others have no business
// with.
var holders = map[string]string{"github.com/coreos/go-iptables/iptables": "deploy/fence"}

// platforms are the systems whose files are looked at: files may be for one of
// them alone.
var platforms = []string{"linux", "darwin"}

// A pack is what go list tells of a package.
type pack struct {
	ImportPath string
	Imports    []string
	Module     struct{ Path string }
}

// TestArrows wants every package of the module to stand in rooms and to import
// only what it may, and every room to exist.
func TestArrows(t *testing.T) {
	seen := map[string]bool{}
	for _, system := range platforms {
		for _, p := range list(t, system) {
			module := p.Module.Path + "/"
			name := strings.TrimPrefix(p.ImportPath, module)
			seen[name] = true
			r, ok := rooms[name]
			if !ok {
				t.Errorf("%s has no room: add it to the table of %s with what it may import, and to ARCHITECTURE.md", name, "test/arrows_test.go")
				continue
			}
			for _, imported := range p.Imports {
				if only := holders[imported]; only != "" && name != only {
					t.Errorf("%s imports %s, which %s alone may", name, imported, only)
				}
				if inside, ours := strings.CutPrefix(imported, module); ours && !slices.Contains(r.may, inside) {
					t.Errorf("%s imports %s on %s, and must not: %s", name, inside, system, r.says)
				}
			}
		}
	}
	for name := range rooms {
		if !seen[name] {
			t.Errorf("the table has a room for %s, and there is no such package", name)
		}
	}
}

// list returns every package of the module as system builds it.
func list(t *testing.T, system string) []pack {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-json=ImportPath,Imports,Module", "./...")
	cmd.Dir = ".."
	cmd.Env = append(os.Environ(), "GOOS="+system)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	var packs []pack
	for decoder := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pack
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packs
		}
		if err != nil {
			t.Fatal(err)
		}
		packs = append(packs, p)
	}
}
