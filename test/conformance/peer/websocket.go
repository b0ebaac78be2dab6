package main

import (
	"bufio"
	"bytes"
	"io"
	"log"
	"net/http"
	"os"
	"os/exec"

	"github.com/fasthttp/websocket"
)

// webSocket serves a command over WebSocket: a line is a text frame.
func webSocket(command []string) http.HandlerFunc {
	upgrader := websocket.Upgrader{Subprotocols: []string{"mcp"}}
	return func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return // the client has been told
		}
		defer conn.Close()
		if err := serve(conn, command); err != nil {
			log.Print(err)
		}
	}
}

// serve is the life of one connection and its process.
func serve(conn *websocket.Conn, command []string) error {
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() {
		toFrames(conn, out)
		_ = conn.Close() // the reader below ends
	}()
	fromFrames(conn, in)
	_ = in.Close() // the server ends, and with it what it writes
	return cmd.Wait()
}

func toFrames(conn *websocket.Conn, from io.Reader) {
	for lines := bufio.NewReader(from); ; {
		line, err := lines.ReadBytes('\n')
		if err != nil || conn.WriteMessage(websocket.TextMessage, bytes.TrimRight(line, "\n")) != nil {
			return
		}
	}
}

func fromFrames(conn *websocket.Conn, to io.Writer) {
	for {
		_, msg, err := conn.ReadMessage()
		if err != nil {
			return
		}
		if _, err := to.Write(append(msg, '\n')); err != nil {
			return
		}
	}
}
