package semel

// Keeps a watch going over as many streams as it takes, and hands on what they tell. What a message means stands in
// watch_course.go, what follows from a failure in watch_reconnect.go.
//
// A program may be slower than what happens. Then the stream is held: gRPC for Go gives the connection its room back when
// something comes in, and not when it is read, so other calls on the connection are not held with it.

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"google.golang.org/grpc/codes"

	"semel.dev/go/semelv1"
)

// waitMax is the longest that a server may ask a stream to wait.
const waitMax = time.Hour

type watchReader struct {
	client   *Client
	course   *watchCourse
	yield    func(*WatchItem, error) bool
	left     bool // the program wants no more
	pace     RetryOptions
	troubles watchTroubles
	patience time.Time // until when the first stream has to be open; zero once it was
	refused  *uint64   // the credentials that were refused last
}

// run reads until the program wants no more, the context ends, or the watch does.
func (w *watchReader) run(ctx context.Context) error {
	for {
		session, failed := openWatch(ctx, w.client, w.course.request, w.refused)
		var wait time.Duration
		if failed == nil {
			wait, failed = w.live(ctx, session)
			session.close()
		}
		var err error
		if failed != nil && !w.left && ctx.Err() == nil {
			wait, err = w.recover(failed)
		}
		if ctx.Err() != nil {
			return endedError(ctx, "", 0)
		}
		if err != nil || w.left {
			return err
		}
		if !sleep(ctx, wait) {
			return endedError(ctx, "", 0)
		}
	}
}

// sleep says whether the context let it finish.
func sleep(ctx context.Context, wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// tell hands on items; false if the program wants no more.
func (w *watchReader) tell(items ...*WatchItem) bool {
	for _, item := range items {
		if w.left = !w.yield(item, nil); w.left {
			return false
		}
	}
	return true
}

// live reads one stream to its end: by a failure, or so that another one is to be opened after a wait.
func (w *watchReader) live(ctx context.Context, s *watchSession) (time.Duration, *noStream) {
	w.patience, w.refused, w.troubles.refreshed = time.Time{}, nil, false
	items, broken := w.course.open(s.opened, s.token)
	if broken != "" {
		return 0, s.failed(localRefusal(codes.OK, originOther, broken))
	}
	if !w.tell(items...) {
		return 0, nil
	}
	renewal := newRenewal(s.sig)
	defer renewal.stop()
	silence := time.NewTimer(s.silence)
	defer silence.Stop()
	for isFresh := false; ; {
		silence.Reset(s.silence)
		select {
		case heard := <-s.heard:
			if heard.refused != nil {
				return 0, s.failed(heard.refused)
			}
			if farewell, isLeaving := w.hear(heard.message, renewal); isLeaving || w.left {
				return farewell, nil
			}
		case <-silence.C:
			return 0, s.failed(localRefusal(codes.Unavailable, originNoAnswer, "the stream has gone silent"))
		case <-renewal.due():
			renewal.begin()
			s.renew()
		case err := <-s.renewed:
			if isFresh = err == nil; !isFresh {
				w.client.log.Warn("cannot renew the token of the watch yet", "error", err)
				renewal.at(time.Now().Add(renewAgain))
			}
		case <-ctx.Done():
			return 0, nil
		}
		if isFresh && w.course.isAtToken() {
			w.client.log.Debug("going on with fresh credentials over another stream")
			return 0, nil
		}
	}
}

// hear takes a message. Says whether the server is about to stop, and how long to wait then.
func (w *watchReader) hear(message *semelv1.WatchResponse, renewal *renewal) (time.Duration, bool) {
	var notice *WatchItem
	var farewell *semelv1.GoingAway
	switch kind := message.GetKind().(type) {
	case *semelv1.WatchResponse_AuthNotice:
		notice = w.onNotice(kind.AuthNotice, renewal)
	case *semelv1.WatchResponse_GoingAway:
		farewell = kind.GoingAway
	default:
		w.troubles.failures, w.troubles.faults = 0, 0
	}
	if !w.tell(w.course.take(message)...) {
		return 0, false
	}
	if notice != nil {
		w.tell(w.course.behindAll(notice))
	}
	if farewell == nil {
		return 0, false
	}
	// All its watchers come at once.
	w.troubles.failures++
	after := min(max(farewell.GetReconnectAfter().AsDuration(), 0), waitMax)
	w.client.log.Info("the server is going away, going on over another stream", "after", after)
	return after + w.pace.backoff(w.troubles.failures, rand.Float64()), true
}

// onNotice takes what the server says of the credentials. Those that can be renewed are, and nobody has to know; that they
// have ended, the status says that follows.
func (w *watchReader) onNotice(notice *semelv1.AuthNotice, renewal *renewal) *WatchItem {
	if status := notice.GetAuth().GetStatus(); status != semelv1.AuthStatus_AUTH_STATUS_EXPIRING {
		w.client.log.Warn("the credentials of a watch are refused", "status", status)
		return nil
	}
	if w.client.auth.canRefresh() {
		renewal.hurry()
		return nil
	}
	item := &WatchItem{Kind: WatchExpiring}
	if ends := notice.GetAuth().GetExpireTime(); ends != nil {
		item.ExpireTime = ends.AsTime()
	}
	return item
}

// recover prepares the next stream and gives the wait before it, or the error by which the watch ends.
func (w *watchReader) recover(failed *noStream) (time.Duration, error) {
	w.troubles.failures++
	err, next, wait := w.judge(failed)
	w.client.log.Debug("a watch has no stream", "error", err, "wait", wait)
	wait = min(wait, waitMax)
	if next == watchEnds || !w.patience.IsZero() && time.Now().Add(wait).After(w.patience) {
		return 0, err
	}
	// What is mended at once is no news.
	if next == watchAgain {
		if item := w.course.lose(err); item != nil {
			w.tell(item)
		}
	}
	return wait, nil
}

func (w *watchReader) judge(failed *noStream) (*Error, watchNext, time.Duration) {
	unit := rand.Float64()
	if failed.err != nil {
		var err *Error
		if !errors.As(failed.err, &err) {
			err = usageError("there is no token: %v", failed.err)
		}
		if !err.MayRetry && err.Kind != KindTransport || w.pace.AttemptsMax <= 1 {
			return err, watchEnds, 0
		}
		return err, watchAgain, err.RetryAfter + w.pace.backoff(w.troubles.failures, unit)
	}
	if class, _ := classify(failed.refused); class == classFault {
		w.troubles.faults++
	}
	next, wait := decideWatch(failed.refused, &w.troubles, w.pace, unit)
	if next == watchRefresh {
		w.refused = &failed.generation
		w.troubles.refreshed = true
	}
	return newError(failed.refused, failed.requestID, w.troubles.failures), next, wait
}
