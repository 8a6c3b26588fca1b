package settings

import (
	"context"
	"fmt"
	"time"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/timefmt"
)

// WithTimeout ends ctx after the time that the setting timeout allows.
func WithTimeout(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	return context.WithTimeoutCause(ctx, timeout, hint.Add(
		fmt.Errorf("not done within %s", timefmt.Duration(timeout)), "if the services are just slow, give timeout a longer duration"))
}
