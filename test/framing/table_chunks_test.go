package framing

import (
	"fmt"
	"strings"
)

// chunkSizes are chunk lines: HEX is the size, and what the row says stands
// where the line would stand, with its end.
func chunkSizes() []row {
	const class = "chunk sizes"
	var list []row
	add := func(v verdict, texts ...string) {
		for _, text := range texts {
			list = append(list, row{class, short(text), v, nil, func(d *draft) {
				line := strings.NewReplacer("HEX", fmt.Sprintf("%x", len(d.text)), "UP", fmt.Sprintf("%X", len(d.text))).Replace(text)
				d.framed("Transfer-Encoding: chunked\r\n", line+d.text+"\r\n0\r\n\r\n"+d.canary())
				if v != refuse {
					d.answers, d.trailing = 2, true
				}
			}})
		}
	}
	add(whole, "HEX\r\n", "UP\r\n", "0HEX\r\n", "000HEX\r\n", "HEX;a\r\n", "HEX;a=b\r\n", "HEX;a=\"b\"\r\n")
	add(either, strings.Repeat("0", 100)+"HEX\r\n", "HEX;a=\"b;c\"\r\n", "HEX;a=\"\\\"\"\r\n", "HEX;\r\n", "HEX;;\r\n", "HEX;=\r\n", "HEX;a="+strings.Repeat("b", 10000)+"\r\n",
		"HEX \r\n", "HEX\t\r\n", "HEX ;a\r\n", "HEX; a = b\r\n", "HEX;a=\"b\r\n", "HEX;a=b\x00\r\n", "HEX;a=\x01\r\n", "HEX;a=\xff\r\n")
	add(refuse, "0xHEX\r\n", "0XHEX\r\n", "xHEX\r\n", "$HEX\r\n", "+HEX\r\n", "-HEX\r\n", " HEX\r\n", "\tHEX\r\n", "\vHEX\r\n", "\r\nHEX\r\n", "\nHEX\r\n", "\x00HEX\r\n", "HEX_\r\n",
		"0_HEX\r\n", "HEXg\r\n", "HEX g\r\n", "HEX 0\r\n", "HEX,\r\n", "HEX\x00\r\n", "HEX\v\r\n", "HEX\f\r\n", "HEX.0\r\n", "HEXh\r\n", "\"HEX\"\r\n", "\r\n", ";a\r\n", "g\r\n", "HEX:a\r\n", "HEX=a\r\n",
		"HEX\n", "HEX\r", "HEX\r\r\n", "HEX\r \n", "HEX\r;a\r\n", "HEX;a\n", "HEX;a\r", "HEX;a\rb\r\n", "HEX;a\nb\r\n", "HEX;a=\"\r\n\"\r\n", "HEX;a=\"\n\"\r\n", "HEX;a=\"\r\"\r\n", "HEX;\r\r\n", "HEX;\r\n\r\n", "HEX;\n\r\n",
		"1000000000000000HEX\r\n", "10000000000000HEX\r\n", "100000000000000HEX\r\n", "100000HEX\r\n", "ffffffffffffffff\r\n", "fffffffffffffffe\r\n", "7fffffffffffffff\r\n", "8000000000000000\r\n", "ffffffff\r\n", "80000000\r\n", "-1\r\n",
		"\uFF11\r\n")
	return list
}

// chunkEnds are ends of the chunk data, of the last chunk, and of the body. A
// canary stands behind.
func chunkEnds() []row {
	const class = "chunk ends"
	var list []row
	add := func(v verdict, texts ...string) {
		for _, text := range texts {
			list = append(list, row{class, "data" + short(text), v, nil, func(d *draft) {
				d.framed("Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s%s", len(d.text), d.text, text)+d.canary())
				if v != refuse {
					d.answers, d.trailing = 2, true
				}
			}})
		}
	}
	add(whole, "\r\n0\r\n\r\n")
	add(either, "\r\n00\r\n\r\n", "\r\n0000000000000000000000000000\r\n\r\n", "\r\n0;a=b\r\n\r\n", "\r\n0 \r\n\r\n",
		"\r\n0\r\n\n") // a bare LF may end a line there (RFC 9112, section 2.2), and whoever takes it finds the same end
	add(refuse, "0\r\n\r\n", "\n0\r\n\r\n", "\r0\r\n\r\n", "XX0\r\n\r\n", " \r\n0\r\n\r\n", "\r\n\r\n0\r\n\r\n", "\r\n \r\n0\r\n\r\n", "\r\r\n0\r\n\r\n", "\n\r0\r\n\r\n", "X\r\n0\r\n\r\n", "\x00\x000\r\n\r\n",
		"\r\n0\r\n", "\r\n0\n\n", "\r\n0\n\r\n", "\r\n0\r\r", "\r\n0\r\n\r", "\r\n0\r\n\rX", "\r\n0\r\nX", "\r\n0\r\nXX\r\n\r\n", "\r\n0\r\n \r\n", "\r\n0\r\n\r\r\n", "\r\n-0\r\n\r\n", "\r\n+0\r\n\r\n", "\r\n0x0\r\n\r\n",
		"\r\n0\x00\r\n\r\n", "\r\n 0\r\n\r\n", "\r\n0;\n\r\n", "\r\n0;a\nb\r\n\r\n", "\r\n0;a\rb\r\n\r\n", "\r\n\r\n", "\r\n0\r\n\x00\r\n", "\r\n0\r\n\v\r\n\r\n")
	return list
}

// trailers are what may stand behind the last chunk. None of it is a header.
func trailers() []row {
	const class = "trailers"
	var list []row
	add := func(v verdict, texts ...string) {
		for _, text := range texts {
			list = append(list, row{class, short(text), v, nil, func(d *draft) {
				d.framed("Transfer-Encoding: chunked\r\n", d.chunk()+"0\r\n"+text+"\r\n"+d.canary())
				if v != refuse {
					d.answers, d.trailing = 2, true
				}
			}})
		}
	}
	add(either, "X-Hidden: 1\r\n", "X-Hidden: 1\r\nX-Hidden: 2\r\n", "X-Any:\r\n", "X-Any: "+strings.Repeat("a", 3000)+"\r\n", strings.Repeat("X-Any: a\r\n", 100),
		"Content-Length: 5\r\n", "Content-Length: 5\r\nContent-Length: 6\r\n", "Transfer-Encoding: chunked\r\n", "Transfer-Encoding: identity\r\n", "Host: evil.example\r\n", "Authorization: Bearer hidden\r\n",
		"Mcp-Session-Id: hidden\r\n", "Origin: https://evil.example\r\n", "X-Case: case-9999\r\n", "Content-Type: text/evil\r\n", "Connection: close\r\n", "Trailer: X-Hidden\r\n", "X-Forwarded-For: client-1\r\n", "Expect: 100-continue\r\n",
		"X-Any: a\r\n X-Hidden: folded\r\n", "X-Any: a\r\n\tb\r\n", "X-Any: a\nX-Hidden: 1\r\n", "X-Any: a\n") // folds and bare LF: all readers find the same end
	add(refuse, "no colon\r\n", ": no name\r\n", "X Y: a\r\n", "X-Any : a\r\n", " X-Hidden: folded\r\n", "X-Any: a\rX-Hidden: 1\r\n",
		"X\x00: a\r\n", "X-Any: a\x00b\r\n", "X-Any: a\r\r\n", "X-Any: "+strings.Repeat("a", 200_000)+"\r\n")
	list = append(list,
		row{class, "announced", either, nil, func(d *draft) {
			d.framed("Trailer: X-Hidden\r\nTransfer-Encoding: chunked\r\n", d.chunk()+"0\r\nX-Hidden: 1\r\n\r\n")
		}},
		row{class, "announced: Content-Length", either, nil, func(d *draft) {
			d.framed("Trailer: Content-Length\r\nTransfer-Encoding: chunked\r\n", d.chunk()+"0\r\nContent-Length: 1\r\n\r\n")
		}},
		row{class, "announced, with a length", either, nil, func(d *draft) { d.sized(); d.framing += "Trailer: X-Hidden\r\n" }},
		row{class, "behind an empty line that is a bare LF", either, nil, func(d *draft) {
			d.framed("Transfer-Encoding: chunked\r\n", d.chunk()+"0\r\n\nX-Any: a\r\n\r\n")
			d.answers = 2 // the second says that this is no request
		}},
		row{class, "behind a length", either, nil, func(d *draft) {
			d.framed(length(len(d.text)), d.text+"X-Hidden: 1\r\n\r\n")
			d.answers = 2 // the second says that this is no request
		}},
	)
	return list
}

// short is text as a row's name.
func short(text string) string {
	const most = 90
	if len(text) > most {
		return fmt.Sprintf("%.40q… (%d bytes)", text, len(text))
	}
	return fmt.Sprintf("%q", text)
}
