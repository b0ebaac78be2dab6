package framing

import (
	"fmt"
	"strings"
)

// hidden is a field that somebody may read out of another. It must reach the
// server in no case.
const hidden = "X-Hidden: 1"

// fields are header lines that are none, or more than one.
func fields() []row {
	const class = "header lines"
	list := lines(class, either, // folds and bare LF away from the framing may be read: but then as what they are, and not as another field
		"X-Any: a\r\n "+hidden+"\r\n", "X-Any: a\r\n\t"+hidden+"\r\n", "X-Any: a\r\n  \t "+hidden+"\r\n", "X-Any: a\r\n \r\n", "X-Any: a\r\n b\r\n c\r\n", "X-Any:\r\n a\r\n", "X-Any:\r\n\t"+hidden+"\r\n",
		"X-Any: a\n "+hidden+"\r\n", "X-Any: a\n\t"+hidden+"\r\n", "X-Any: a\n"+hidden+"\r\n", "X-Any: a\n"+hidden+"\n",
		"X-Any: \xff\xfe\r\n", "X-Any: \u00e9\r\n", "X-Any: a\u2028"+hidden+"\r\n", "X-Any: a\x85"+hidden+"\r\n", "X-Any: \"a\r\n", "X-Any: "+strings.Repeat("a", 8000)+"\r\n", strings.Repeat("X-Any: a\r\n", 200),
		"X-Any: "+strings.Repeat("a", 100_000)+"\r\n", strings.Repeat("X-Any: a\r\n", 5000), "X-Any: %0d%0a"+hidden+"\r\n", "X-Any: \\r\\n"+hidden+"\r\n")
	list = append(list, lines(class, refuse,
		"X-Any: a\r"+hidden+"\r\n", "X-Any: a\r\r\n", "X-Any: a\rb\r\n", "X-Any: \ra\r\n", "X-Any: a\r \n"+hidden+"\r\n",
		"X-Any: a\x00b\r\n", "X-Any: \x00\r\n", "X-Any: a\x00\r\n"+hidden+"\x00\r\n", "X-Any: a\x01b\r\n", "X-Any: a\x7fb\r\n", "X-Any: a\vb\r\n", "X-Any: a\x1bb\r\n", "X-Any: a\x08\r\n",
		"no colon\r\n", "nocolon\r\n", "X-Any\r\n", "\r"+hidden+"\r\n", "\x00\r\n", "=\r\n", "\v\r\n")...)
	for _, fold := range []string{" ", "\t", " \t "} {
		list = append(list, row{class, "a fold before the first: " + short(fold), refuse, nil, func(d *draft) { d.host = fold + hidden + "\r\n" + d.host }})
	}
	bend := func(what string, v verdict, f func(d *draft)) { list = append(list, row{class, what, v, nil, f}) }
	bend("all of the head ends in bare LF", either, func(d *draft) {
		for _, part := range []*string{&d.start, &d.host, &d.fields, &d.framing, &d.end} {
			*part = strings.ReplaceAll(*part, "\r\n", "\n")
		}
	})
	bend("the empty line is a bare LF", either, func(d *draft) { d.end = "\n" })
	bend("the empty line is a bare CR", refuse, func(d *draft) { d.end = "\r"; d.payload += d.canary() })
	bend("the empty line has a space", refuse, func(d *draft) { d.end = " \r\n"; d.payload += d.canary() })
	bend("the empty line has a NUL", refuse, func(d *draft) { d.end = "\x00\r\n"; d.payload += d.canary() })
	bend("the empty line is CR CR LF", refuse, func(d *draft) { d.end = "\r\r\n"; d.payload += d.canary() })
	bend("LF CR for CR LF", refuse, func(d *draft) { d.fields = strings.ReplaceAll(d.fields, "\r\n", "\n\r"); d.payload += d.canary() })
	bend("an empty line with CR within the head", refuse, func(d *draft) { d.add("\r\r\n" + hidden + "\r\n"); d.payload += d.canary() })
	bend("no empty line", refuse, func(d *draft) { d.end = ""; d.payload = "" })
	return list
}

// names are field names that are none.
func names() []row {
	const class = "field names"
	var texts []string
	for _, n := range []string{
		"X-Hidden ", "X-Hidden\t", "X-Hidden \t ", "X-Hidden\x00", "\x00X-Hidden", "X-\x00Hidden", "X-Hidden\x01", "X-Hidden\v", "X-Hidden\f", "X-Hidden\x7f", "X-Hidden\x80", "X-H\u00efdden", "\ufeffX-Hidden",
		"X-Hidden(", "X-Hidden)", "X Hidden", "X-Hidden,", "X-Hidden;", "X-Hidden@", "X-Hidden[", "X-Hidden]", "X-Hidden{", "X-Hidden}", "X-Hidden\\", "X-Hidden/", "X-Hidden?", "X-Hidden=", "X-Hidden<", "X-Hidden>", "\"X-Hidden\"", "", "\r", "X-Hidden\r",
		"X-Any\nX-Hidden", "X-Any\rX-Hidden",
	} {
		texts = append(texts, n+": 1\r\n")
	}
	list := lines(class, refuse, texts...)
	return append(list, lines(class, either, " X-Hidden: 1\r\n", "\t: 1\r\n", "X_Any: 1\r\n", "X.Any: 1\r\n", "!#$%&'*+-.^_`|~0aZ: 1\r\n", "x: 1\r\n", strings.Repeat("X", 3000)+": 1\r\n")...)
}

// requestLines are first lines, with METHOD and TARGET where those belong.
func requestLines() []row {
	const class = "request line"
	var list []row
	add := func(v verdict, texts ...string) {
		for _, text := range texts {
			list = append(list, row{class, short(text), v, nil, func(d *draft) {
				d.start = strings.NewReplacer("METHOD", d.way.method, "TARGET", d.sees, "HOST", d.site.host).Replace(text)
			}})
		}
	}
	add(either, "METHOD TARGET HTTP/1.1\n", "\r\nMETHOD TARGET HTTP/1.1\r\n", "\nMETHOD TARGET HTTP/1.1\r\n", "\r\n\r\n\r\nMETHOD TARGET HTTP/1.1\r\n", "METHOD http://HOSTTARGET HTTP/1.1\r\n", "METHOD HTTP://HOSTTARGET HTTP/1.1\r\n",
		"METHOD  TARGET HTTP/1.1\r\n", "METHOD TARGET  HTTP/1.1\r\n", "METHOD TARGET HTTP/1.1 \r\n", "METHOD\tTARGET\tHTTP/1.1\r\n", "METHOD TARGET HTTP/1.2\r\n")
	add(refuse, "\rMETHOD TARGET HTTP/1.1\r\n", " METHOD TARGET HTTP/1.1\r\n", "\tMETHOD TARGET HTTP/1.1\r\n", "\x00METHOD TARGET HTTP/1.1\r\n", "METHOD\x00 TARGET HTTP/1.1\r\n", "METHOD\v TARGET HTTP/1.1\r\n", "METHOD\vTARGET\vHTTP/1.1\r\n",
		"METHOD TARGET HTTP/1.1\r\r\n", "METHOD TARGET HTTP/1.1\x00\r\n", "METHOD TARGET HTTP/1.1\rX-Hidden: 1\r\n", "METHOD TARGET HTTP/1.1\r X-Hidden: 1\r\n", "METHOD TARGET HTTP/1.1 HTTP/1.1\r\n", "METHOD TARGET HTTP/1.1 X-Hidden: 1\r\n",
		"METHOD TARGET X HTTP/1.1\r\n", "METHOD TARGET\x00 HTTP/1.1\r\n", "METHOD TARGET\x01 HTTP/1.1\r\n", "METHOD TARGET\x7f HTTP/1.1\r\n", "METHOD TARGET\tX HTTP/1.1\r\n", "METHOD TARGET\rX HTTP/1.1\r\n",
		"METHOD TARGET HTTP/1\r\n", "METHOD TARGET HTTP/1.\r\n", "METHOD TARGET HTTP/.1\r\n", "METHOD TARGET HTTP/1.10\r\n", "METHOD TARGET HTTP/1.01\r\n", "METHOD TARGET HTTP/01.1\r\n", "METHOD TARGET HTTP/11\r\n", "METHOD TARGET HTTP/1,1\r\n", "METHOD TARGET HTTP 1.1\r\n",
		"METHOD TARGET HTTP/+1.1\r\n", "METHOD TARGET HTTP/1.-1\r\n", "METHOD TARGET HTTP/0.9\r\n", "METHOD TARGET HTTP/2.0\r\n", "METHOD TARGET HTTP/2\r\n", "METHOD TARGET HTTP/3.0\r\n", "METHOD TARGET HTTP/9.9\r\n", "METHOD TARGET http/1.1\r\n", "METHOD TARGET HTTPS/1.1\r\n", "METHOD TARGET HTP/1.1\r\n", "METHOD TARGET FTP/1.1\r\n",
		"METHOD TARGET \r\n", "METHOD TARGET\r\n", "METHOD HTTP/1.1\r\n", "METHOD\r\n", "TARGET HTTP/1.1\r\n", " TARGET HTTP/1.1\r\n", "METHOD  HTTP/1.1\r\n", "GE(T TARGET HTTP/1.1\r\n", "\"GET\" TARGET HTTP/1.1\r\n", "G\xc3\x8bT TARGET HTTP/1.1\r\n", "G\x00T TARGET HTTP/1.1\r\n", "METHOD: TARGET HTTP/1.1\r\n",
		"PRI * HTTP/2.0\r\n", "CONNECT HOST HTTP/1.1\r\n", "CONNECT TARGET HTTP/1.1\r\n")
	return list
}

// targets are targets of requests for the path that is passed: whatever way
// they are written, the server must not see one that lies elsewhere.
func targets() []row {
	const class = "targets"
	var list []row
	add := func(v verdict, texts ...string) {
		for _, text := range texts {
			list = append(list, row{class, short(text), v, open, func(d *draft) {
				d.request(strings.NewReplacer("NAME", d.name, "HOST", d.site.host).Replace(text))
				d.sees = ""
			}})
		}
	}
	add(whole, "/open/NAME?a=b", "/open/NAME?", "/open/NAME?a=%0d%0a", "/open/NAME;a=b", "/open/a/b/NAME")
	add(either, "/open/../mcp?NAME", "/open/%2e%2e/mcp?NAME", "/open/%2E./mcp?NAME", "/open/..%2fmcp?NAME", "/open/..%5cmcp?NAME", "/open/..\\mcp?NAME", "/open/..;/mcp?NAME", "/open/%252e%252e/mcp?NAME", "/open/./NAME", "/open//NAME", "/open/x/../NAME",
		"/open/x/../../mcp?NAME", "//open/NAME", "/./open/NAME", "/%6fpen/NAME", "/open%2fNAME", "/OPEN/NAME", "/open/%00NAME", "/open/%0d%0aX-Hidden:%201/NAME", "/open/%20HTTP/1.1%0d%0aX-Hidden:%201%0d%0a/NAME", "/open/%/NAME", "/open/%zz/NAME", "/open/%u002e/NAME",
		"/open/\xff/NAME", "/open/\u00e9/NAME", "/open/NAME#fragment", "/open/NAME?a#b", "/open/..#/NAME", "/open/..?/NAME", "/open/\"<>^`{|}/NAME", "/open/.%00./mcp?NAME", "/open/"+strings.Repeat("a", 9000)+"/NAME")
	add(refuse, "open/NAME", "*", "NAME", "/", "/mcp/../private/NAME", "/private/NAME", "/opening/NAME", "/open", "?/open/NAME", "http:/open/NAME", "http:///open/NAME", "//evil.example/open/NAME", "/open/x NAME", "/open/\x00NAME", "/open/\x01NAME", "/open/\tNAME",
		"http://evil.example/open/NAME", "http://HOST@evil.example/open/NAME", "http://evil.example\\@HOST/open/NAME", "HOST/open/NAME", "javascript:/open/NAME")
	return list
}

// hosts are Host lines, H being the right one.
func hosts() []row {
	const class = "hosts"
	var list []row
	add := func(v verdict, texts ...string) {
		for _, text := range texts {
			list = append(list, row{class, short(text), v, nil, func(d *draft) { d.host = strings.ReplaceAll(text, "H!", d.site.host) }})
		}
	}
	add(whole, "Host: H!\r\n", "host:H!\r\n", "HOST:  H! \r\n")
	add(either, "Host:\tH!\t\r\n")
	add(refuse, "", "Host: H!\r\nHost: H!\r\n", "Host: H!\r\nHost: evil.example\r\n", "Host: evil.example\r\nHost: H!\r\n", "Host: H!\r\nhost:\r\n", "Host:\r\n", "Host: \r\n", "Host: evil.example\r\n", "Host: H!, evil.example\r\n", "Host: H! evil.example\r\n", "Host: H!\tevil.example\r\n",
		"Host: evil.example@H!\r\n", "Host: H!@evil.example\r\n", "Host: H!/evil.example\r\n", "Host: H!#evil.example\r\n", "Host: H!?evil.example\r\n", "Host: H!:1:2\r\n", "Host: H!:evil.example\r\n", "Host: H!\x00evil.example\r\n", "Host: H!\x00\r\n", "Host: H!.evil.example\r\n",
		"Host : H!\r\n", "Host\t: H!\r\n", " Host: H!\r\n", "Host:\r\n H!\r\n", "Host: H!\r\n evil.example\r\n", "Host: H!\rHost: evil.example\r\n", "Host: H!\nHost: evil.example\r\n", "Host: http://H!\r\n", "Host: \"H!\"\r\n", "Host: [H!]\r\n", "Host: %6c\r\n",
		"X-Forwarded-Host: H!\r\n", "Hos\u212at: H!\r\n", "Host\x00: H!\r\n")
	for _, target := range []string{"http://evil.example", "http://HOST@evil.example", "https://evil.example:443"} {
		list = append(list, row{class, "target " + target, refuse, nil, func(d *draft) {
			d.request(strings.ReplaceAll(target, "HOST", d.site.host) + d.sees)
		}})
	}
	list = append(list, row{class, "target of ours, Host of another", either, nil, func(d *draft) { // RFC 9112, section 3.2.2: the target counts
		sees := d.sees
		d.request("http://" + d.site.host + d.sees)
		d.sees, d.host = sees, "Host: evil.example\r\n"
	}})
	return list
}

// hopByHop are fields between the client and the gate, which end there. The
// values of those that a proxy sets anew begin with "client-".
func hopByHop() []row {
	const class = "between client and gate"
	list := lines(class, whole,
		"Connection: X-Named\r\nX-Named: 1\r\n", "Connection: keep-alive, X-Named\r\nX-Named: 1\r\n", "Connection: close, x-named\r\nX-Named: 1\r\n", "connection:X-NAMED\r\nx-named: 1\r\n", "X-Named: 1\r\nConnection: keep-alive\r\nConnection: X-Named\r\n",
		"Connection: ,X-Named,\r\nX-Named: 1\r\n", "Connection: close\r\n", "Connection: keep-alive\r\n", "Keep-Alive: timeout=5\r\n", "Connection: Keep-Alive\r\nKeep-Alive: timeout=5, max=1000\r\n", "Proxy-Connection: keep-alive\r\n", "Proxy-Connection: close\r\n",
		"Proxy-Authorization: Basic client-\r\n", "Proxy-Authenticate: Basic\r\n", "TE: trailers\r\n", "Connection: TE\r\nTE: trailers, deflate;q=0.5\r\n",
		"X-Forwarded-For: client-1\r\n", "X-Forwarded-Host: client-2\r\n", "X-Forwarded-Proto: client-3\r\n", "X-Forwarded-Port: client-4\r\n", "X-Forwarded-Prefix: /client-5\r\n", "X-Forwarded-Server: client-6\r\n", "X-Forwarded-Anything: client-7\r\n",
		"Forwarded: for=client-8;host=client-8\r\n", "X-Real-IP: client-9\r\n", "X-Forwarded-For: client-a\r\nX-Forwarded-For: client-b\r\n", "x-forwarded-for:client-c\r\n")
	return append(list, lines(class, either,
		"Connection: Content-Length\r\n", "Connection: Host\r\n", "Connection: Content-Type\r\n", "Connection: Accept\r\n", "Connection: X-Case\r\n", "Connection: Authorization\r\nAuthorization: Bearer named\r\n", "Connection: Mcp-Session-Id\r\n", "Connection: Transfer-Encoding\r\n",
		"Connection: Connection\r\n", "Connection: X-Forwarded-For, Host, Content-Length\r\n", "Connection: Cookie\r\nCookie: named=1\r\n", "Connection: \"X-Named\"\r\nX-Any: 1\r\n", "Connection: close, keep-alive\r\n", fmt.Sprintf("Connection: %s\r\n", strings.Repeat("X-Named, ", 300)),
		"X_Forwarded_For: client-d\r\n", "Mcp_Session_Id: client-e\r\n", "X-Original-URL: /private\r\n", "X-HTTP-Method-Override: DELETE\r\n", "Via: 1.1 client\r\n", "Max-Forwards: 0\r\n",
		"Connection: Upgrade\r\nUpgrade: h2c\r\n", "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "Upgrade: h2c\r\n", "Upgrade: TLS/1.0, HTTP/2.0\r\n",
		"Expect: 200-ok\r\n", "Expect: 100-continue, 100-continue\r\n", "Expect:\r\n", "Expect: 100-Continue\r\n", "Expect: x\r\nExpect: 100-continue\r\n")...)
}

// old are requests of HTTP before 1.1, where there are neither chunks nor a
// Host that must be.
func old() []row {
	const class = "HTTP/1.0 and 0.9"
	var list []row
	bend := func(what string, v verdict, f func(d *draft)) {
		list = append(list, row{class, what, v, nil, func(d *draft) {
			d.start = strings.Replace(d.start, "HTTP/1.1", "HTTP/1.0", 1)
			f(d)
		}})
	}
	bend("as it is", whole, func(*draft) {})
	bend("kept alive, with a second behind", either, func(d *draft) {
		d.add("Connection: keep-alive\r\n")
		d.payload += d.canary()
		d.answers, d.trailing = 2, true
	})
	bend("a second behind that nobody may read", refuse, func(d *draft) {
		d.start, d.fields, d.framing, d.host, d.end = strings.Fields(d.start)[0]+" "+d.sees+"\r\n", "", "", "", ""
		d.payload = d.canary()
	})
	bend("chunks", refuse, func(d *draft) { d.chunked(); d.payload += d.canary() })
	bend("chunks, kept alive", refuse, func(d *draft) {
		d.chunked()
		d.add("Connection: keep-alive\r\n")
		d.payload += d.canary()
	})
	bend("chunks and a length", refuse, func(d *draft) {
		d.chunked()
		d.payload += d.canary()
		d.framing += length(len(d.payload))
	})
	bend("no length", either, func(d *draft) { d.framing, d.payload, d.body = "", "", "" })
	bend("no length, and a body", either, func(d *draft) { d.framing, d.payload, d.body = "", d.canary(), "" })
	bend("no Host", either, func(d *draft) { d.host = "" })
	bend("two Hosts", refuse, func(d *draft) { d.host += d.host })
	bend("Expect", either, func(d *draft) { d.add("Expect: 100-continue\r\n") })
	bend("Upgrade", either, func(d *draft) { d.add("Connection: Upgrade\r\nUpgrade: websocket\r\n") })
	return list
}
