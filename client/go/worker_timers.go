package semel

// What a worker has to do at some moment. It keeps the moments in order, and does nothing by itself.

import (
	"container/heap"
	"time"
)

// workerTimer is due at a moment. One that has lost its sense is not taken out: whoever it wakes looks again.
type workerTimer struct {
	at   time.Time
	kind timerKind
	key  attemptKey
}

type timerKind int

const (
	timerFlushLog   timerKind = iota // the log that an attempt has gathered is to be sent
	timerProgress                    // the progress of an attempt is to be sent
	timerResend                      // the first message in an attempt's queue may be sent again
	timerOverstayed                  // a handler that was told to stop has had its time
)

// workerTimers is a heap.
type workerTimers []workerTimer

func (t workerTimers) Len() int           { return len(t) }
func (t workerTimers) Less(i, j int) bool { return t[i].at.Before(t[j].at) }
func (t workerTimers) Swap(i, j int)      { t[i], t[j] = t[j], t[i] }

// Push is for the heap.
func (t *workerTimers) Push(timer any) { *t = append(*t, timer.(workerTimer)) }

// Pop is for the heap.
func (t *workerTimers) Pop() any {
	last := len(*t) - 1
	timer := (*t)[last]
	*t = (*t)[:last]
	return timer
}

// due takes out one that is due, if any is.
func (t *workerTimers) due(now time.Time) (workerTimer, bool) {
	if len(*t) == 0 || (*t)[0].at.After(now) {
		return workerTimer{}, false
	}
	return heap.Pop(t).(workerTimer), true
}

// next is when the next one is due; zero if there is none.
func (t workerTimers) next() time.Time {
	if len(t) == 0 {
		return time.Time{}
	}
	return t[0].at
}

func (c *workerCourse) wakeAt(at time.Time, kind timerKind, key attemptKey) {
	heap.Push(&c.timers, workerTimer{at, kind, key})
}
