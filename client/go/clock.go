package semel

// This file owns what the client knows of the server's clock, and is the only place that reads this machine's wall
// clock. It decides nothing.

import (
	"sync/atomic"
	"time"

	"semel.dev/go/semelv1"
)

// serverClock is the server's clock, as far as it is known: this machine's own, and by how much that is off.
type serverClock struct {
	wall   func() time.Time
	offset atomic.Int64 // nanoseconds by which the server is ahead
}

// now is the server's time; before anything was learnt, this machine's.
func (c *serverClock) now() time.Time {
	return c.wall().Add(time.Duration(c.offset.Load()))
}

// learn takes the time of a header that has just arrived. The server wrote it between the sending of what it answers and
// now; it is taken for written half-way. A message of a stream answers nothing that was just sent: elapsed is zero then.
func (c *serverClock) learn(header *semelv1.ResponseHeader, elapsed time.Duration) {
	if header.GetServerTime() == nil {
		return
	}
	written := c.wall().Add(-elapsed / 2)
	c.offset.Store(int64(header.ServerTime.AsTime().Sub(written)))
}
