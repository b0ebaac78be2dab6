package main

import (
	"os"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/term"
)

// newLog returns the log on standard error. What is written to it is for the
// operator alone, and still it never holds payloads, tokens or session ids.
func newLog(stderr *os.File, level, format string) (*zap.Logger, error) {
	least, err := zapcore.ParseLevel(level)
	if err != nil {
		return nil, err
	}
	encoder := zapcore.NewJSONEncoder(logFields())
	if format == "console" || format == "auto" && term.IsTerminal(int(stderr.Fd())) {
		encoder = zapcore.NewConsoleEncoder(consoleFields())
	}
	core := zapcore.NewCore(encoder, zapcore.Lock(stderr), least)
	return zap.New(core, zap.ErrorOutput(zapcore.Lock(stderr))), nil
}

func logFields() zapcore.EncoderConfig {
	return zapcore.EncoderConfig{
		TimeKey:        "time",
		LevelKey:       "level",
		NameKey:        "logger",
		MessageKey:     "msg",
		StacktraceKey:  "stack",
		LineEnding:     zapcore.DefaultLineEnding,
		EncodeTime:     zapcore.TimeEncoder(encodeTime),
		EncodeLevel:    zapcore.LowercaseLevelEncoder,
		EncodeDuration: zapcore.SecondsDurationEncoder,
	}
}

// encodeTime writes UTC, so that the logs of several machines sort.
func encodeTime(t time.Time, enc zapcore.PrimitiveArrayEncoder) {
	enc.AppendString(t.UTC().Format("2006-01-02T15:04:05.000Z"))
}

func consoleFields() zapcore.EncoderConfig {
	fields := logFields()
	fields.EncodeTime = zapcore.TimeEncoderOfLayout("15:04:05.000")
	fields.EncodeLevel = zapcore.CapitalLevelEncoder
	fields.EncodeDuration = zapcore.StringDurationEncoder
	fields.ConsoleSeparator = "  "
	return fields
}
