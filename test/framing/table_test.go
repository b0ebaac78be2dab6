package framing

// A verdict is what may become of a request.
type verdict int

// To be refused is what the specification says must be (RFC 9112), and what two
// readers that both keep to it could count differently: a length beside an
// encoding, a fold or a bare LF in a line on which the framing hangs. What the
// gate forwards is framed anew, but whoever stands in front of the gate must
// count its requests as the gate does.
const (
	whole  verdict = iota // it is well-formed: it reaches the server, and is answered
	either                // it may be refused; if it reaches the server, then with exactly that body
	refuse                // nothing of it may reach the server
)

// A row is one thing that is done to a request.
type row struct {
	class, what string
	verdict     verdict
	ways        []way // nil: the usual ones
	bend        func(d *draft)
}

// A probe is one request of the test.
type probe struct {
	*draft
	row *row
	verdict
}

// rows is the whole table.
func rows() []row {
	var list []row
	for _, part := range [][]row{
		wellFormed(), smuggled(), lengthAndChunks(), encodings(), lengths(), chunkSizes(), chunkEnds(), trailers(),
		fields(), names(), requestLines(), targets(), hosts(), hopByHop(), old(),
	} {
		list = append(list, part...)
	}
	return list
}

// probes are the table's requests for one site.
func probes(s site) []*probe {
	var list []*probe
	table := rows()
	for i := range table {
		r := &table[i]
		ways := r.ways
		if ways == nil {
			ways = usual
		}
		for _, w := range ways {
			d := newDraft(w, len(list), s)
			r.bend(d)
			p := &probe{draft: d, row: r, verdict: r.verdict}
			if p.verdict == whole && !w.body && d.body != "" {
				p.verdict = either // such a method may be refused a body
			}
			list = append(list, p)
		}
	}
	return list
}

// lines are rows of one class that add header lines to the request.
func lines(class string, v verdict, texts ...string) []row {
	var list []row
	for _, text := range texts {
		list = append(list, row{class: class, what: short(text), verdict: v, bend: func(d *draft) { d.add(text) }})
	}
	return list
}
