package stdio

import (
	"time"

	"sidegate/proxy/backend/lines"
)

// exitGrace is how long a child that has closed its output may take to end and
// yet be reported as ended.
const exitGrace = 100 * time.Millisecond

// read hands the child's messages to the receiver until its output ends, and
// says there how the connection ended.
func (c *conn) read() {
	config := &c.backend.config
	_ = lines.NewReader(&c.stdout, c.receiver, lines.Options{
		MaxMessage: config.MaxMessage, Budget: config.Budget, Log: c.log,
		Sender: "the tool server", Where: " to its standard output",
	}).Run() // however it ended, the child says nothing more
	c.end("closed its output")
	c.receiver.Closed(c.farewell())
}

// farewell is how the connection ended, nil where its owner ended it. A child
// that has closed its output is most often about to exit.
func (c *conn) farewell() error {
	timer := time.NewTimer(exitGrace)
	defer timer.Stop()
	how := ""
	select {
	case <-c.exited:
		<-c.relayed
		how = c.status.String()
	case <-timer.C:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.closed:
		return nil
	case how == "":
		how = c.cause
	case c.forced:
		how = c.cause + " and was ended for that"
	}
	return &EndError{c.backend.String(), how, time.Since(c.started), c.words.all()}
}
