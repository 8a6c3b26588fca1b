// Package rotate decides when the next PAT of a consumer is due, and ends those before it
// once the consumer has it.
//
// A consumer is a server that keeps a PAT itself, such as a code scanner. Its PATs are
// found by their display name alone, so nothing has to be stored between two rotations.
// Which of several active PATs the consumer has cannot be seen: a rotation may have been
// killed before or after it stored a new one. So all of them stay active until a further
// one is stored.
package rotate

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/timefmt"
)

// Consumer is a server that keeps a PAT, and how its PATs are replaced.
type Consumer struct {
	// Name is what the display names of its PATs have in common; see
	// [displayname.IsConsumer].
	Name string
	// WhenLeft: the next PAT is due when the newest has less than this left.
	WhenLeft time.Duration
	// Overlap is how long the previous PATs live on after the consumer has the next one.
	Overlap time.Duration
	Log     lease.Log
}

// List returns the active PATs of the consumer, the newest first. It fails if the user's
// list cannot be read to its end.
func (c *Consumer) List(ctx context.Context, l *lease.Client) ([]pat.Token, error) {
	list, err := l.List(ctx, func(t pat.Token) bool {
		n := displayname.Parse(t.DisplayName)
		return n.Kind == displayname.Rotated && n.Consumer == c.Name
	})
	slices.SortStableFunc(list, func(a, b pat.Token) int {
		return cmp.Or(b.ValidFrom.Compare(a.ValidFrom), b.ValidTo.Compare(a.ValidTo))
	})
	return list, err
}

// Plan says whether the next PAT of a consumer is due.
type Plan struct {
	// Due is why the next PAT is due; empty: it is not.
	Due string
	// Newest is the newest PAT, and Left how long it is still valid; both are zero if
	// there is none.
	Newest pat.Token
	Left   time.Duration
}

// Plan says whether the next PAT is due. pats are the active ones, the newest first;
// times are those that Azure DevOps' clock may show, the likeliest first. If they
// disagree, the next PAT is due if it is by one of them: the consumer must not be left
// with a PAT that has ended.
func (c *Consumer) Plan(pats []pat.Token, times []time.Time) (p Plan) {
	if len(pats) == 0 {
		return Plan{Due: "there is no PAT yet"}
	}
	times = plausible(pats, times)
	p.Newest, p.Left = pats[0], pats[0].ValidTo.Sub(times[0])
	for _, now := range times {
		if p.Due == "" {
			p.Due = c.due(pats, now)
		}
	}
	return p
}

func (c *Consumer) due(pats []pat.Token, now time.Time) string {
	if left := pats[0].ValidTo.Sub(now); left <= c.WhenLeft {
		return fmt.Sprintf("the newest PAT, %s, ends at %s", pats[0].ID, timefmt.Time(pats[0].ValidTo))
	}
	lasting := 0
	for _, t := range pats {
		// The PATs that the last rotation has moved end within the overlap, plus or
		// minus the difference of two clocks.
		if t.ValidTo.Sub(now) > c.Overlap+httpclient.Tolerance {
			lasting++
		}
	}
	if lasting > 1 {
		return fmt.Sprintf("%d PATs are active, so the last rotation did not finish", lasting)
	}
	return ""
}

// plausible are the times at which all of these active PATs are valid; if there is none,
// all times.
func plausible(pats []pat.Token, times []time.Time) []time.Time {
	likely := slices.DeleteFunc(slices.Clone(times), func(now time.Time) bool {
		return slices.ContainsFunc(pats, func(t pat.Token) bool {
			return now.Before(t.ValidFrom.Add(-httpclient.Tolerance)) || now.After(t.ValidTo.Add(httpclient.Tolerance))
		})
	})
	if len(likely) == 0 {
		return times
	}
	return likely
}

func contains(list []pat.Token, id string) bool { return index(list, id) >= 0 }

func index(list []pat.Token, id string) int {
	return slices.IndexFunc(list, func(t pat.Token) bool { return strings.EqualFold(t.ID, id) })
}
