// Package lease acquires, renews and releases PATs, so that none is left behind
// unnoticed.
//
// A lease is a PAT together with what is needed to revoke it. Before the request to
// mint is sent, the intent is recorded: the display name that the PAT will have,
// which is enough to find it again. If the process or the answer is lost, the PAT can
// still be revoked by that name: by this process, by the post step, or by a person.
package lease

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/secret"
)

// PATs is the API that a [Client] needs.
type PATs interface {
	Create(context.Context, pat.Create) (pat.Token, error)
	Pages(context.Context, pat.Filter) iter.Seq2[[]pat.Token, error]
	Update(ctx context.Context, id string, p pat.Update) (pat.Token, error)
	Revoke(ctx context.Context, id string) (gone bool, err error)
	Listed(ctx context.Context, id string, show pat.Show) (bool, error)
}

// Log receives progress and warnings.
type Log interface {
	Infof(format string, args ...any)
	Warning(title, text string)
}

const (
	// Cleanup is the time limit for cleaning up after a failure.
	Cleanup = 5 * time.Second
	// StopCleanup is the time limit for cleaning up after a signal to stop. The rest of
	// Cleanup is for exiting.
	StopCleanup = 4500 * time.Millisecond
	// createGrace is how long to wait for the answer to a create request after the
	// process was told to stop. The answer has the id of the PAT to revoke.
	createGrace = 2 * time.Second
	// commitWindow is how long after the intent a create request can take effect.
	// Azure DevOps delays a throttled request for up to 30 seconds and then carries
	// it out even if the client has given up.
	commitWindow = httpclient.RequestTimeout + 5*time.Second
	// pollInterval is how often the list is read during commitWindow.
	pollInterval = 2 * time.Second
	// finalLookTime is reserved for reading the list a last time.
	finalLookTime = 500 * time.Millisecond
)

// expiryTolerance is how much later than requested a PAT may end before it counts as
// wider, and how much earlier before there is a warning.
const expiryTolerance = time.Second

// Client acquires and releases leases.
type Client struct {
	PATs PATs
	// Record keeps the record where the post step finds it.
	Record func(Record) error
	// Mask masks a PAT in the logs. It is called before the PAT is used.
	Mask func(secret.Value) error
	Log  Log
	// Server is the best estimate of Azure DevOps' clock.
	Server func() time.Time
	// Ready waits while Azure DevOps throttles this user (Retry-After); nil: no wait.
	Ready func(context.Context) error
	// NoLaterProcess: no post step will revoke a PAT that is left, so this process waits
	// for each request to mint that may still take effect.
	NoLaterProcess bool
	// Leftover is the hint for a PAT that may be left: which process ends it, or how to do
	// that by hand.
	Leftover string
}

func (l *Client) ready(ctx context.Context) error {
	if l.Ready == nil {
		return nil
	}
	return l.Ready(ctx)
}

// Want is the PAT that is requested.
type Want struct {
	Scopes   []string
	Lifetime time.Duration
}

// Lease is a PAT and what is needed to revoke it.
type Lease struct {
	Token  pat.Token
	Record Record
	// possibleEnd is the end requested by a renewal without a conclusive answer;
	// zero: none.
	possibleEnd time.Time
	// sent and received bound the time at which the PAT was created, by this machine's
	// clock.
	sent, received time.Time
	// wall is [wallClock]. Tests replace it to act as a machine that sleeps, whose wall
	// clock goes on while its timers and its monotonic clock stop.
	wall func() time.Time
}

// wallClock is the time without its monotonic reading.
func wallClock() time.Time { return time.Now().Round(0) }

func joinLines(lines ...string) string {
	return strings.Join(slices.DeleteFunc(lines, func(s string) bool { return s == "" }), "\n")
}

// joinErrors joins two errors on one line.
func joinErrors(a, b error) error {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	}
	return fmt.Errorf("%w; %w", a, b)
}

// contextError is the cause of ctx, or nil if it has not ended.
func contextError(ctx context.Context) error {
	if ctx.Err() == nil {
		return nil
	}
	return context.Cause(ctx)
}
