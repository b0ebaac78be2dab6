package framing

import (
	"fmt"
	"strings"
)

// wellFormed are requests that nobody may stumble over: they show that the way
// is open, and so that a refusal means something.
func wellFormed() []row {
	const class = "well-formed"
	return []row{
		{class, "as it is", whole, all, func(*draft) {}},
		{class, "a length", whole, all, (*draft).sized},
		{class, "one chunk", whole, all, (*draft).chunked},
		{class, "three chunks", whole, nil, func(d *draft) {
			d.chunked()
			d.payload = fmt.Sprintf("1\r\n%s\r\n2\r\n%s\r\n%X\r\n%s\r\n0\r\n\r\n", d.text[:1], d.text[1:3], len(d.text)-3, d.text[3:])
		}},
		{class, "length 0", either, open, func(d *draft) { d.framed(length(0), ""); d.body = "" }},
		{class, "no chunk", either, open, func(d *draft) { d.chunked(); d.payload, d.body = "0\r\n\r\n", "" }},
		{class, "a second request behind", whole, nil, func(d *draft) {
			d.payload += d.canary()
			d.answers, d.trailing = 2, true
		}},
		{class, "a second request behind chunks", whole, nil, func(d *draft) {
			d.chunked()
			d.payload += d.canary()
			d.answers, d.trailing = 2, true
		}},
		{class, "Expect: 100-continue", whole, []way{mcpPost, openPost}, func(d *draft) { d.add("Expect: 100-continue\r\n") }},
		{class, "a field with spaces about", whole, nil, func(d *draft) { d.add("X-Any: \t any \t\r\n") }},
		{class, "a field twice", whole, nil, func(d *draft) { d.add("X-Any: 1\r\nX-Any: 2\r\n") }},
		{class, "an empty field", whole, nil, func(d *draft) { d.add("X-Any:\r\n") }},
	}
}

// smuggled are requests whose body is a request itself.
func smuggled() []row {
	const class = "a request in the body"
	return []row{
		{class, "by length", either, all, func(d *draft) { d.text = d.canary(); d.sized() }},
		{class, "in a chunk", either, all, func(d *draft) { d.text = d.canary(); d.chunked() }},
		{class, "in two chunks", either, all, func(d *draft) {
			d.text = d.canary()
			d.chunked()
			d.payload = fmt.Sprintf("4\r\n%s\r\n%x\r\n%s\r\n0\r\n\r\n", d.text[:4], len(d.text)-4, d.text[4:])
		}},
		{class, "behind an end of chunks", either, all, func(d *draft) { d.text = "0\r\n\r\n" + d.canary(); d.sized() }},
		{class, "cut by its end", refuse, nil, func(d *draft) { d.text = d.canary(); d.sized(); d.framing = length(len(d.text) + 1) }},
		{class, "cut in a chunk", refuse, nil, func(d *draft) {
			d.text = d.canary()
			d.framed("Transfer-Encoding: chunked\r\n", fmt.Sprintf("%x\r\n%s", len(d.text)+10, d.text))
		}},
		{class, "cut behind a chunk", refuse, nil, func(d *draft) {
			d.text = d.canary()
			d.framed("Transfer-Encoding: chunked\r\n", d.chunk())
		}},
	}
}

// spellings are values of Transfer-Encoding that some reader somewhere has
// taken for chunked, or has passed over.
var spellings = []string{
	" chunked", " Chunked", "chunked", "\tchunked", " \t chunked", " chunked ", " chunked\t", " chunked, identity", " identity, chunked",
	" gzip, chunked", " chunked, gzip", " chunked, chunked", " chunked,", " ,chunked", " xchunked", " chunkedx", " \vchunked", " chunked\v", "\fchunked",
	` "chunked"`, " 'chunked'", " chunked;q=1", " chunked; a=b", " chun\x00ked", " \x00chunked", " chunked\x00", " chunked chunked", " identity", " gzip", " cow", "", " ",
	" ch\u212Anked", " \u00A0chunked", " chunked\u0085", " chunked\r", " \rchunked", " chunked\n", " \r\n chunked", "\r\n\tchunked", " chunked\r\n identity", " x\r\n chunked",
}

// names of fields that some reader somewhere has taken for Transfer-Encoding.
var nearNames = []string{
	"Transfer-Encoding ", "Transfer-Encoding\t", " Transfer-Encoding", "\tTransfer-Encoding", "Transfer-Encoding\x00", "Transfer-Encoding\v", "\x00Transfer-Encoding",
	"Transfer\x00-Encoding", "X: y\nTransfer-Encoding", "X: y\rTransfer-Encoding", "X: y\r\rTransfer-Encoding", "X: y\r\n Transfer-Encoding", "X: y\n Transfer-Encoding",
	"Transfer-Encoding\r\n", "Transfer-Encoding\r\n ", "Transfer Encoding", "Transfer-Encoding:", ":Transfer-Encoding", "\"Transfer-Encoding\"", "Transfer\u2010Encoding",
}

// lengthAndChunks are requests with a length and an encoding. Whoever goes by
// the one sees another body than who goes by the other.
func lengthAndChunks() []row {
	const class = "length and chunks"
	var list []row
	add := func(what string, v verdict, encoding string, byChunks bool) {
		for _, order := range []string{"length first", "length last"} {
			list = append(list, row{class, what + ", " + order, v, nil, func(d *draft) {
				payload := d.text + d.canary() // who goes by chunks cannot read it
				n := length(len(d.text))
				if byChunks { // who goes by the length takes the canary along, or begins anew in the middle
					payload = d.chunk() + "0\r\n\r\n" + d.canary()
					n = length(len(payload))
				}
				d.framed(n+encoding, payload)
				if order == "length last" {
					d.framed(encoding+n, payload)
				}
			}})
		}
	}
	for _, s := range spellings {
		add(fmt.Sprintf("chunks, Transfer-Encoding:%q", s), refuse, "Transfer-Encoding:"+s+"\r\n", true)
	}
	for _, s := range []string{" chunked", " identity", "", " xchunked", " chunked, identity"} {
		add(fmt.Sprintf("length, Transfer-Encoding:%q", s), refuse, "Transfer-Encoding:"+s+"\r\n", false)
	}
	for _, n := range nearNames {
		add(fmt.Sprintf("chunks, %q: chunked", n), refuse, n+": chunked\r\n", true)
	}
	for _, enc := range []string{"transfer-encoding: chunked\r\n", "TRANSFER-ENCODING:chunked\r\n", "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n", "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n"} {
		add(fmt.Sprintf("chunks, %q", enc), refuse, enc, true)
	}
	// Fields of another name, whatever it looks like: the length counts.
	for _, enc := range []string{"Transfer_Encoding: chunked\r\n", "TransferEncoding: chunked\r\n", "X-Transfer-Encoding: chunked\r\n", "TE: chunked\r\n", "Content-Transfer-Encoding: chunked\r\n"} {
		list = append(list, row{class, fmt.Sprintf("length, %q", enc), either, nil, func(d *draft) { d.sized(); d.framing += enc }})
	}
	return list
}

// encodings are chunked bodies whose encoding is spelt in some way, without a
// length beside it.
func encodings() []row {
	const class = "encoding alone"
	good := map[string]bool{" chunked": true, " Chunked": true, "chunked": true, " chunked ": true}
	// Tabs are white space too, and empty elements of a list may be passed over;
	// some proxies refuse them.
	fair := map[string]bool{"\tchunked": true, " \t chunked": true, " chunked\t": true, " chunked,": true, " ,chunked": true}
	var list []row
	add := func(what string, v verdict, lines string) {
		list = append(list, row{class, what, v, nil, func(d *draft) { d.framed(lines, d.chunk()+"0\r\n\r\n") }})
	}
	for _, s := range spellings {
		v := refuse
		switch {
		case good[s]:
			v = whole
		case fair[s]:
			v = either
		}
		add(fmt.Sprintf("Transfer-Encoding:%q", s), v, "Transfer-Encoding:"+s+"\r\n")
	}
	add("chunked twice", refuse, "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n")
	add("identity, then chunked", refuse, "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n")
	add("chunked, then identity", refuse, "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n")
	add("chunked, then nothing", refuse, "Transfer-Encoding: chunked\r\nTransfer-Encoding:\r\n")
	return list
}

// lengths are spellings of Content-Length. #N is the body's, #M one that
// takes the canary along; a canary stands behind the body.
func lengths() []row {
	const class = "lengths"
	var list []row
	add := func(v verdict, texts ...string) {
		for _, text := range texts {
			list = append(list, row{class, short(text), v, nil, func(d *draft) {
				n := len(d.text)
				d.framed(strings.NewReplacer("#N1", fmt.Sprint(n/10), "#N2", fmt.Sprint(n%10), "#HEX", fmt.Sprintf("%x", n), "#OCT", fmt.Sprintf("%o", n),
					"#M", fmt.Sprint(n+len(d.canary())), "#N", fmt.Sprint(n)).Replace(text), d.text+d.canary())
				if v != refuse {
					d.answers, d.trailing = 2, true
				}
			}})
		}
	}
	add(whole, "Content-Length: #N\r\n", "Content-Length:#N\r\n", "content-length: #N\r\n", "CONTENT-LENGTH: #N \r\n")
	add(either, "Content-Length:\t #N \t\r\n", "Content-Length: #N\r\nContent-Length: #N\r\n", "Content-Length: #N, #N\r\n", "Content-Length: 0#N\r\n", "Content-Length: "+strings.Repeat("0", 100)+"#N\r\n",
		"Content-Length: #N\r\nContent_Length: #M\r\n", "Content-Length: #N\r\nX-Content-Length: #M\r\n")
	add(refuse,
		"Content-Length: #N\r\nContent-Length: #M\r\n", "Content-Length: #M\r\nContent-Length: #N\r\n", "Content-Length: #N\r\ncontent-length: 0\r\n", "Content-Length: #N, #M\r\n",
		"Content-Length: #M, #N\r\n", "Content-Length: #N,\r\n", "Content-Length: ,#N\r\n", "Content-Length: +#N\r\n", "Content-Length: -#N\r\n", "Content-Length: -0\r\n",
		"Content-Length: #N1 #N2\r\n", "Content-Length: #N1_#N2\r\n", "Content-Length: #N;\r\n", "Content-Length: #N.0\r\n", "Content-Length: #Ne0\r\n", "Content-Length: 0x#HEX\r\n",
		"Content-Length: #HEXh\r\n", "Content-Length: 0o#OCT\r\n", "Content-Length: \"#N\"\r\n", "Content-Length: #N\x00\r\n", "Content-Length: \x00#N\r\n", "Content-Length: \v#N\r\n",
		"Content-Length: #N\v\r\n", "Content-Length: \f#N\r\n", "Content-Length: #N\u00A0\r\n", "Content-Length: #N\x85\r\n", "Content-Length: \u0661#N\r\n", "Content-Length: five\r\n",
		"Content-Length:\r\n", "Content-Length: \r\n", "Content-Length: 18446744073709551616\r\n", "Content-Length: 1844674407370955161#N\r\n", "Content-Length: 9223372036854775808\r\n",
		"Content-Length: 42949672960000000000000#N\r\n", "Content-Length: #N\r\n #M\r\n", "Content-Length:\r\n #N\r\n", "Content-Length: #N\r\n\t\r\n", "Content-Length : #N\r\n", "Content-Length\t: #N\r\n",
		"Content-Length\x00: #N\r\n", " Content-Length: #N\r\n", "Content-Length: #N\r\nContent-Length : #M\r\n", "Content-Length: #N\rContent-Length: #M\r\n",
		"Content-Length: #N\r\nX: y\rContent-Length: #M\r\n", "Content-Length: #N\r\nX: y\nContent-Length: #M\r\n", "Content-Length: #N\nContent-Length: #M\r\n",
		"Content-Length: #N\r\nContent-Length: \r\n", "Content-Length: #N\r\nContent-Length: -1\r\n", "Content-Length: #N\r\r\n", "Content-Length: #N\r\n\x00Content-Length: #M\r\n")
	return list
}
