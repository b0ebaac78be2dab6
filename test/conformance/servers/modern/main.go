// Command modern is a server that speaks revision 2026-07-28 and no other, with
// the tools that the conformance suite wants. A tool that asks its client
// answers input_required; all that the call needs to go on is in requestState.
//
//	modern                        on stdin and stdout
//	modern -http 127.0.0.1:9000   over Streamable HTTP, at any path
//
// It is strict: a request without its _meta is refused, over HTTP also one
// whose headers are unlike its body, and initialize is an unknown method.
package main

import (
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
)

func main() {
	address := flag.String("http", "", "serve Streamable HTTP at this `address`, and print the one that it is")
	flag.Parse()
	s := newServer()
	if *address != "" {
		ln, err := net.Listen("tcp", *address)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(ln.Addr())
		log.Fatal(http.Serve(ln, s))
	}
	if err := (&stdio{server: s, out: os.Stdout, cancels: map[string]func(){}}).serve(os.Stdin); err != nil {
		log.Fatal(err)
	}
}
