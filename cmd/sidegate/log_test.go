package main

import (
	"encoding/json"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
)

// logged returns what a log at that level and format writes to a pipe.
func logged(t *testing.T, level, format string, write func(*zap.Logger)) string {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	log, err := newLog(w, level, format)
	if err != nil {
		t.Fatal(err)
	}
	write(log)
	w.Close()
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestLogIsJSONOnAPipe(t *testing.T) {
	text := logged(t, "info", "auto", func(log *zap.Logger) {
		log.Debug("not this")
		log.Warn("a\nb", zap.Int("n", 1), zap.Duration("took", 1500*time.Millisecond))
	})
	var line map[string]any
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	stamp, _ := line["time"].(string)
	if _, err := time.Parse("2006-01-02T15:04:05.000Z", stamp); err != nil {
		t.Error(err)
	}
	delete(line, "time")
	got, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"level":"warn","msg":"a\nb","n":1,"took":1.5}`; string(got) != want {
		t.Errorf("logged %s; want %s", got, want)
	}
}

func TestLogLevels(t *testing.T) {
	for level, want := range map[string]int{"debug": 4, "info": 3, "warn": 2, "error": 1} {
		text := logged(t, level, "json", func(log *zap.Logger) {
			log.Debug("x")
			log.Info("x")
			log.Warn("x")
			log.Error("x")
		})
		if got := strings.Count(text, "\n"); got != want {
			t.Errorf("--log-level %s wrote %d lines; want %d", level, got, want)
		}
	}
}

func TestLogForPeople(t *testing.T) {
	text := logged(t, "info", "console", func(log *zap.Logger) { log.Info("listening", zap.Int("port", 1)) })
	if !strings.HasSuffix(text, "  INFO  listening  {\"port\": 1}\n") {
		t.Errorf("logged %q", text)
	}
}
