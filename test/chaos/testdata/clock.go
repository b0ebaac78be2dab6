package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"
)

// init lets two signals set the clock that package time has got for this
// build: two days ahead, and two days behind.
func init() {
	told := make(chan os.Signal, 2)
	signal.Notify(told, syscall.SIGUSR1, syscall.SIGUSR2)
	go func() {
		for s := range told {
			const day = 24 * 60 * 60
			if s == syscall.SIGUSR1 {
				time.Jump.Store(2 * day)
			} else {
				time.Jump.Store(-2 * day)
			}
		}
	}()
}
