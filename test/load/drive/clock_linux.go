package drive

import (
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// A clock ticks to the microsecond. The runtime's own timers sleep for whole
// milliseconds when nothing else is to be done, which is longer than what is
// measured; a timer that is a file wakes the poller like a connection does.
type clock struct{ file *os.File }

func newClock(interval time.Duration) (*clock, error) {
	fd, err := unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_NONBLOCK|unix.TFD_CLOEXEC)
	if err != nil {
		return nil, err
	}
	every := unix.NsecToTimespec(int64(interval))
	if err := unix.TimerfdSettime(fd, 0, &unix.ItimerSpec{Interval: every, Value: every}, nil); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return &clock{os.NewFile(uintptr(fd), "timer")}, nil
}

// wait waits for the next tick.
func (c *clock) wait() {
	var ticks [8]byte
	c.file.Read(ticks[:])
}

func (c *clock) stop() { c.file.Close() }
