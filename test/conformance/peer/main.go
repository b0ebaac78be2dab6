// Command peer stands in for the servers that the matrix needs and the
// everything-server is not: it puts a stdio server behind HTTP+SSE or
// WebSocket, one process for each connection, and it is a server that asks for
// roots, which the everything-server never does.
//
//	peer -sse 127.0.0.1:9000 COMMAND [ARG...]
//	peer -ws 127.0.0.1:9000 COMMAND [ARG...]
//	peer                          a server on stdin and stdout
//	peer -http 127.0.0.1:9000     the same over Streamable HTTP
//
// HTTP+SSE is the Go SDK's own, so that the gate meets a transport that others
// wrote.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"net/http"
	"strings"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

func main() {
	sse := flag.String("sse", "", "serve COMMAND over HTTP+SSE at this `address`")
	ws := flag.String("ws", "", "serve COMMAND over WebSocket at this `address`")
	http := flag.String("http", "", "serve Streamable HTTP at this `address`")
	flag.Parse()
	switch {
	case *sse != "":
		listen(*sse, newSSE(flag.Args()))
	case *ws != "":
		listen(*ws, webSocket(flag.Args()))
	default:
		asking(*http)
	}
}

func listen(address string, h http.Handler) {
	server := http.Server{Addr: address, Handler: h}
	log.Fatal(server.ListenAndServe())
}

// asking is the server with one tool, which asks its client for roots.
func asking(address string) {
	server := mcp.NewServer(&mcp.Implementation{Name: "asking", Version: "1"}, nil)
	mcp.AddTool(server, &mcp.Tool{Name: "roots", Description: "lists the client's roots"}, roots)
	if address != "" {
		listen(address, mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return server }, nil))
	}
	if err := server.Run(context.Background(), &mcp.StdioTransport{}); err != nil {
		log.Fatal(err)
	}
}

func roots(ctx context.Context, req *mcp.CallToolRequest, _ any) (*mcp.CallToolResult, any, error) {
	list, err := req.Session.ListRoots(ctx, nil) //nolint:staticcheck // deprecated from 2026-07-28 on, and part of what is served until then
	if err != nil {
		return nil, nil, fmt.Errorf("roots/list: %w", err)
	}
	var uris []string
	for _, root := range list.Roots {
		uris = append(uris, root.URI)
	}
	return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: strings.Join(uris, " ")}}}, nil, nil
}
