package stdio

import (
	"io"
	"os"
	"strings"
	"testing"

	"sidegate/proxy/rawio"
)

// TestOutput: once the child is dead its output ends with what it had written,
// though somebody else goes on writing.
func TestOutput(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	write := func(text string) {
		t.Helper()
		if _, err := io.WriteString(out, text); err != nil {
			t.Fatal(err)
		}
	}
	o := output{file: rawio.NewFile(in)}
	write("before")
	p := make([]byte, 10)
	if n, err := o.Read(p); err != nil || string(p[:n]) != "before" {
		t.Fatalf("Read: %q, %v", p[:n], err)
	}

	waiting := make(chan error)
	go func() {
		_, err := o.Read(make([]byte, 10))
		waiting <- err
	}()
	o.finish()
	if err := <-waiting; err != io.EOF {
		t.Errorf("the Read that waited: %v", err)
	}

	o = output{file: rawio.NewFile(in)}
	write(strings.Repeat("x", 95))
	o.finish()
	total := 0
	for {
		n, err := o.Read(p)
		total += n
		write("more")
		if err == io.EOF {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if total != 95 {
		t.Errorf("%d bytes were read, 95 had been written", total)
	}
}
