package httpclient

import (
	"context"
	"time"
)

// Sleep waits for d, or until ctx ends.
func Sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// WithGracePeriod returns a context that goes on for a while after ctx has ended, so
// that what was begun can be finished. It then ends with the cause of ctx. A wait
// that a service asks for still lasts no longer than ctx, see [Outliving].
func WithGracePeriod(ctx context.Context, grace time.Duration) (context.Context, context.CancelFunc) {
	graceful, cancel := context.WithCancelCause(Outliving(ctx))
	stop := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, func() { cancel(context.Cause(ctx)) })
		context.AfterFunc(graceful, func() { timer.Stop() })
	})
	return graceful, func() { stop(); cancel(nil) }
}
