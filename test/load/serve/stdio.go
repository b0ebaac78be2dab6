package serve

import (
	"bytes"
	"errors"
	"io"
)

// Stdio serves lines until there are no more. All lines that one read brings
// are answered by one write.
func (t Tools) Stdio(in io.Reader, out io.Writer) error {
	t.lines = true
	var answers []byte
	buf, used := make([]byte, 64<<10), 0
	for {
		if used == len(buf) {
			larger := make([]byte, 2*len(buf))
			copy(larger, buf)
			buf = larger
		}
		n, err := in.Read(buf[used:])
		fresh := used
		used += n
		if end := bytes.LastIndexByte(buf[fresh:used], '\n'); end >= 0 {
			end += fresh + 1
			answers = answers[:0]
			for line := range bytes.Lines(buf[:end]) {
				answers = t.Answer(answers, line)
			}
			used = copy(buf, buf[end:used])
			if _, err := out.Write(answers); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
