package proxy

import (
	"bytes"
	"strings"

	"sidegate/proxy/guard"
)

// A place is what is served at a path.
type place struct {
	room   *guard.Room // nil: nothing is
	server *server     // nil: the gate itself serves it
	door   door
	below  string // what the paths of the server are below: "" or "/servers/NAME"
	target string // of a pass: the path at the server
}

// A door is a way in.
type door uint8

const (
	health door = iota
	mcpDoor
	sseDoor
	messagesDoor
	websocketDoor
	passDoor
	doorCount
)

// rooms say what is asked of a request at each door.
type rooms [doorCount]guard.Room

// asked is the same for all servers.
var asked = rooms{
	health: {Allow: "GET, HEAD", Open: true},
	mcpDoor: {
		Allow: "POST, GET, DELETE", JSON: true,
		Post: guard.AcceptJSON | guard.AcceptEventStream, Get: guard.AcceptEventStream,
	},
	sseDoor:       {Allow: "GET", Get: guard.AcceptEventStream},
	messagesDoor:  {Allow: "POST", JSON: true},
	websocketDoor: {Allow: "GET"},
	passDoor:      {Allow: "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"},
}

// roomsOf are the rooms of one server, to which requests go under a name.
func roomsOf(via string) rooms {
	all := asked
	for d := range all {
		all[d].Via = via
	}
	return all
}

// doors are the paths of the doors, of the default server or below
// /servers/NAME.
var doors = map[string]door{"/mcp": mcpDoor, "/sse": sseDoor, "/messages": messagesDoor, "/ws": websocketDoor}

// below is where each server is served under its name.
const below = "/servers/"

// place finds what is served at a path.
func (g *Gate) place(path []byte) place {
	if string(path) == "/healthz" {
		return place{room: &asked[health]}
	}
	s, rest, prefix := g.servers[0], path, ""
	if named, ok := bytes.CutPrefix(path, []byte(below)); ok {
		name, _, _ := bytes.Cut(named, []byte("/"))
		if s = g.named(string(name)); s == nil {
			return place{}
		}
		rest, prefix = named[len(name):], below+string(name)
	}
	if d, ok := doors[string(rest)]; ok {
		if !g.config.SSE && (d == sseDoor || d == messagesDoor) {
			return place{}
		}
		return place{room: &s.rooms[d], server: s, door: d, below: prefix}
	}
	if len(s.config.Pass) > 0 && s.passes(string(rest)) {
		return place{room: &s.rooms[passDoor], server: s, door: passDoor, below: prefix, target: string(rest)}
	}
	return place{}
}

// named is the server of that name, nil where there is none.
func (g *Gate) named(name string) *server {
	for _, s := range g.servers {
		if s.config.Name == name {
			return s
		}
	}
	return nil
}

// passes tells whether a path of the server itself is let through.
func (s *server) passes(path string) bool {
	for _, p := range s.config.Pass {
		if path == p || strings.HasSuffix(p, "/") && strings.HasPrefix(path, p) {
			return true
		}
	}
	return false
}
