package semel

// Waiting for a run's end, over as many calls as it takes.

import (
	"context"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/durationpb"

	"semel.dev/go/semelv1"
)

const (
	// How long one WaitRun asks the server to wait: shorter than the 15 s after which common proxies end a call.
	waitStep = 10 * time.Second
	// What is left for the answer to travel, before the deadline of the caller.
	waitMargin = 200 * time.Millisecond
)

// Wait waits until a run has ended, however long that takes, and gives it back with its result. An empty app means the
// client's own. Fails only where a single WaitRun fails for good, or where the context ends.
func (c *Client) Wait(ctx context.Context, app, runID string) (*semelv1.Run, error) {
	for {
		step := waitStep
		if deadline, ok := ctx.Deadline(); ok {
			step = max(min(step, time.Until(deadline)-waitMargin), 0)
		}
		response, err := c.WaitRun(ctx, &semelv1.WaitRunRequest{App: app, RunId: runID, Timeout: durationpb.New(step)})
		if err != nil {
			return nil, err
		}
		if response.GetFinished() {
			if response.GetRun() == nil {
				r := localRefusal(codes.OK, originOther, "the answer says finished but holds no run")
				return nil, newError(r, response.GetHeader().GetRequestId(), 1)
			}
			return response.GetRun(), nil
		}
		if ctx.Err() != nil || step == 0 {
			return nil, endedError(ctx, response.GetHeader().GetRequestId(), 1)
		}
	}
}
