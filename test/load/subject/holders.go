package subject

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"time"

	"sidegate/test/load/drive"
)

// Holders are processes that hold a crowd's streams open: several, since one
// may have only so many files.
type Holders struct{ list []*holder }

// most is how many streams one process holds. The limit is 20,000 files here,
// and a process has others.
const most = 15_000

type holder struct {
	cmd    *exec.Cmd
	orders io.WriteCloser
	news   *json.Decoder
}

// Order is what a holder is told to do: wait until each stream has heard so
// many notifications.
type Order struct {
	Each  int
	While time.Duration
}

// Hold opens n streams of a kind and returns when all are open.
func Hold(d drive.Door, kind string, n int) (*Holders, error) {
	h := &Holders{}
	for n > 0 {
		part := min(n, most)
		n -= part
		one, err := startHolder(d, kind, part)
		if err != nil {
			h.Close()
			return nil, err
		}
		h.list = append(h.list, one)
	}
	for _, one := range h.list {
		var opened drive.Held
		if err := one.news.Decode(&opened); err != nil {
			h.Close()
			return nil, fmt.Errorf("a holder of streams: %w", err)
		}
	}
	return h, nil
}

func startHolder(d drive.Door, kind string, n int) (*holder, error) {
	one := &holder{cmd: exec.Command(self(), "hold", kind, d.Addr, d.Path, strconv.Itoa(n))}
	one.cmd.SysProcAttr = ownGroup()
	one.cmd.Stderr = os.Stderr
	var err error
	if one.orders, err = one.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := one.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	one.news = json.NewDecoder(out)
	return one, one.cmd.Start()
}

// Await waits until every stream has heard each of so many notifications, or
// the time is over, and says what was heard.
func (h *Holders) Await(each int, while time.Duration) (drive.Held, error) {
	var sum drive.Held
	for _, one := range h.list {
		if err := json.NewEncoder(one.orders).Encode(Order{each, while}); err != nil {
			return sum, err
		}
	}
	for _, one := range h.list {
		var part drive.Held
		if err := one.news.Decode(&part); err != nil {
			return sum, err
		}
		sum.Streams += part.Streams
		sum.Cut += part.Cut
		sum.Right += part.Right
		sum.Less += part.Less
		sum.More += part.More
		sum.Last = max(sum.Last, part.Last)
	}
	return sum, nil
}

// Close lets all streams go.
func (h *Holders) Close() {
	for _, one := range h.list {
		one.orders.Close()
	}
	for _, one := range h.list {
		one.cmd.Wait()
	}
}
