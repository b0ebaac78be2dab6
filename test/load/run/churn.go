package run

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"sidegate/test/load/drive"
	"sidegate/test/load/measure"
	"sidegate/test/load/subject"
)

// churn lets sessions, streams and WebSockets come and go, some without a
// goodbye, and looks whether anything stays behind: what the gate holds when
// all have gone is compared with what it held after a first short while. It
// fails where something does, but for the shortest runs: those end before a heap
// has its size.
func churn(ctx context.Context, b *Bench) error {
	gate, err := subject.Gate([]string{"--idle-timeout", "2s", "--warm", "2", "--max-links", "64"}, subject.Stdio()...)
	if err != nil {
		return err
	}
	defer gate.Stop()
	first := min(b.Churn/5, time.Minute)
	var before map[string]float64
	var grown []string
	for i, while := range []time.Duration{first, b.Churn - first} {
		came, failed := comeAndGo(ctx, gate.Door, while)
		// Until the last ones have expired, and the gate has tidied up.
		time.Sleep(max(5*time.Second, b.settle()))
		held, err := holds(gate)
		if err != nil {
			return err
		}
		if i == 0 {
			before = held
			continue
		}
		b.note(gate, 0, "sessions that came and went", "", float64(came))
		b.note(gate, 0, "of them failed", "", float64(failed))
		for _, what := range []string{"resident MiB", "goroutines", "descriptors", "children"} {
			b.note(gate, 0, what+", at first", "", before[what])
			b.note(gate, 0, what+", at the end", "", held[what])
			// A few of each may be there or not at any moment.
			ratio, limit := held[what]/before[what], 1.1+4/before[what]
			b.atMost(what+" at the end to at first", ratio, limit)
			if ratio > limit && b.Churn >= time.Minute {
				grown = append(grown, fmt.Sprintf("%s: %.4g at first and %.4g at the end", what, before[what], held[what]))
			}
		}
		b.atMost("sessions that failed", float64(failed), 0)
	}
	if len(grown) > 0 {
		return fmt.Errorf("what sessions need stays behind: %s", strings.Join(grown, "; "))
	}
	return nil
}

// holds is what a gate has in use.
func holds(gate *subject.Subject) (map[string]float64, error) {
	own, err := metrics(gate)
	if err != nil {
		return nil, err
	}
	return map[string]float64{
		"resident MiB": float64(gate.Resident()) / (1 << 20),
		"descriptors":  float64(measure.Descriptors(gate.PIDs()[0])),
		"children":     float64(len(measure.Children(gate.PIDs()[0]))),
		"goroutines":   own["go_goroutines"],
	}, nil
}

// metrics are the numbers without labels that a gate tells of itself.
func metrics(gate *subject.Subject) (map[string]float64, error) {
	resp, err := http.Get("http://" + gate.Admin + "/metrics")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	numbers := map[string]float64{}
	for line := range strings.Lines(string(text)) {
		name, number, _ := strings.Cut(strings.TrimSpace(line), " ")
		if v, err := strconv.ParseFloat(number, 64); err == nil {
			numbers[name] = v
		}
	}
	return numbers, nil
}

// comeAndGo keeps eight clients busy that open a session, use it and leave it,
// each time in another way.
func comeAndGo(ctx context.Context, d drive.Door, while time.Duration) (came, failed int64) {
	ctx, cancel := context.WithTimeout(ctx, while)
	defer cancel()
	var coming, failing atomic.Int64
	var running sync.WaitGroup
	for client := range 8 {
		running.Go(func() {
			for visit := client; ctx.Err() == nil; visit++ {
				coming.Add(1)
				if !visitOnce(ctx, d, visit) && ctx.Err() == nil {
					failing.Add(1)
				}
			}
		})
	}
	running.Wait()
	return coming.Load(), failing.Load()
}

func visitOnce(ctx context.Context, d drive.Door, visit int) bool {
	switch visit % 4 {
	case 0, 1:
		c, err := drive.Open(d, drive.Work{Size: small})
		if err != nil {
			return false
		}
		good := true
		for range 2 {
			good = c.Call() == drive.Right && good
		}
		if visit%4 == 0 {
			c.End()
		} else {
			c.Leave() // the session expires
		}
		return good
	case 2:
		d.Path = "/ws"
		s, err := drive.OpenSocket(d, small)
		if err != nil {
			return false
		}
		defer s.Close()
		report := s.Run(ctx, 4, 10*time.Millisecond)
		return report.Balance.Good()
	}
	kind := drive.GetStream
	if visit%8 == 3 {
		kind = drive.SSE
	}
	crowd, err := drive.Gather(ctx, d, kind, 1)
	if err != nil {
		return false
	}
	crowd.Close()
	return true
}
