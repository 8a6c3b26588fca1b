// Package audit lists a user's PATs and applies rules to each.
//
// The rules and their arguments are those of the setting fail-on; see
// [settings.ParseRules]. What minted a PAT is read from its display name alone, which
// anyone who can name a PAT of the user can choose.
package audit

import (
	"context"
	"fmt"
	"hash/maphash"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/githubapi"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/settings"
	"azdo-pat/internal/sweep"
)

// PATs is the API that an [Auditor] needs.
type PATs interface {
	Next(context.Context, *pat.Cursor) ([]pat.Token, error)
}

// Runs looks up the state of a workflow run.
type Runs interface {
	State(context.Context, githubapi.Run) sweep.RunState
}

// Auditor lists the active PATs of a user.
type Auditor struct {
	PATs  PATs
	Rules []settings.Rule
	// Runs is needed by the rule run-over only.
	Runs Runs
	// Now is the time by Azure DevOps' clock.
	Now func() time.Time
	// Ready waits while Azure DevOps throttles this user (Retry-After); nil: no wait.
	Ready func(context.Context) error
	Log   httpclient.Log
	// Report is called with each PAT as soon as it was examined, in the order of the list.
	Report func(PAT)
}

// PAT is a PAT of the user, and what is wrong with it. Its texts are the server's and
// untrusted.
type PAT struct {
	ID, Name           string
	Scopes             []string
	ValidFrom, ValidTo time.Time // zero: unknown
	Kind               displayname.Kind
	// Repository and RunID are those of a lease; empty: unknown.
	Repository, RunID string
	// Findings are the rules that apply to it, as the caller wrote them, in the order of
	// [Auditor.Rules].
	Findings []string

	severity int // see worse
}

// Result counts what was listed.
type Result struct {
	PATs     int
	WithAny  int   // PATs with a finding
	Findings []int // PATs by rule, in the order of [Auditor.Rules]
	// Complete: the list was read to its end.
	Complete bool
	// Hidden and Unanswered count the leases for which run-over is unknown: GitHub does
	// not show the run to this token, or did not answer.
	Hidden, Unanswered int
}

// DefaultRules are the rules that need no argument. runs: run-over is one of them.
func DefaultRules(runs bool) (rules []settings.Rule) {
	for _, name := range []string{settings.FullAccess, settings.AllOrganizations, settings.OtherPAT, settings.RunOver} {
		if name != settings.RunOver || runs {
			rules = append(rules, settings.Rule{Text: name, Name: name})
		}
	}
	return rules
}

const (
	// concurrency is how many runs are looked up at the same time.
	concurrency = 4
	// maxPATs is how many PATs are listed at most: the ids of all are remembered.
	maxPATs = 50_000
	// longLivedTolerance is how much longer a PAT may live than the argument of
	// long-lived says: Azure DevOps' clock decides when it begins, and that of the
	// caller when it ends.
	longLivedTolerance = time.Second
)

// audit is one call of [Auditor.Run].
type audit struct {
	*Auditor
	result Result
	seed   maphash.Seed
	seen   map[uint64]struct{} // ids
}

// Run reads the list of active PATs page by page. An error means that the list was not
// read to its end; the result is what was read before.
//
// Microsoft does not document where a page continues if PATs end or are created while
// the list is read. If pages are offsets, a PAT that ends moves another one to a page
// that was read before. So Run reads a list of several pages twice, and reports what
// the first pass missed.
func (a *Auditor) Run(ctx context.Context) (Result, error) {
	r := &audit{Auditor: a, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
	r.result.Findings = make([]int, len(a.Rules))
	pages, err := r.pass(ctx)
	if pages > 0 && pat.CursorRefused(err) {
		a.Log.Infof("%v; reading the list from its start", err)
		pages, err = r.pass(ctx)
	}
	if err == nil && pages > 1 {
		_, err = r.pass(ctx)
	}
	r.result.Complete = err == nil
	return r.result, err
}

// pass reads the list once, and returns how many pages it read.
func (r *audit) pass(ctx context.Context) (pages int, err error) {
	cursor := pat.NewCursor(pat.Filter{SortBy: pat.ByName, Ascending: true}) // all leases of a run together
	for ; !cursor.Done(); pages++ {
		var tokens []pat.Token
		err := httpclient.Retry(ctx, r.Log, "listing PATs", func(ctx context.Context) (err error) {
			if r.Ready != nil {
				err = r.Ready(ctx)
			}
			if err == nil {
				tokens, err = r.PATs.Next(ctx, cursor)
			}
			return err
		})
		if err != nil {
			return pages, err
		}
		tokens = slices.DeleteFunc(tokens, r.known)
		if r.result.PATs+len(tokens) > maxPATs {
			return pages, hint.Add(fmt.Errorf("the user has more than %d PATs; the others are not listed", maxPATs), "sweep or revoke PATs first")
		}
		r.page(ctx, tokens)
		if ctx.Err() != nil {
			return pages, context.Cause(ctx)
		}
	}
	return pages, nil
}

// known reports whether a PAT was listed before. One without an id never was.
func (r *audit) known(t pat.Token) bool {
	if t.ID == "" {
		return false
	}
	sum := maphash.String(r.seed, strings.ToLower(t.ID))
	_, known := r.seen[sum]
	r.seen[sum] = struct{}{}
	return known
}

// page examines the PATs of a page and reports them.
func (r *audit) page(ctx context.Context, tokens []pat.Token) {
	states := r.runStates(ctx, tokens)
	for i, t := range tokens {
		p := r.examine(t, states[i])
		r.result.PATs++
		if len(p.Findings) > 0 {
			r.result.WithAny++
		}
		r.Report(p)
	}
}

// runStates asks for the runs of all leases on a page, if a rule needs them.
func (r *audit) runStates(ctx context.Context, tokens []pat.Token) []sweep.RunState {
	states := make([]sweep.RunState, len(tokens))
	if r.Runs == nil || !slices.ContainsFunc(r.Rules, func(rule settings.Rule) bool { return rule.Name == settings.RunOver }) {
		return states
	}
	var group errgroup.Group
	group.SetLimit(concurrency)
	for i, t := range tokens {
		name := displayname.Parse(t.DisplayName)
		if name.Kind != displayname.Lease || name.RunID == "" {
			continue
		}
		run := githubapi.Run{Repository: name.Repository, ID: name.RunID, Attempt: name.Attempt}
		group.Go(func() error { states[i] = r.Runs.State(ctx, run); return nil })
	}
	_ = group.Wait()
	for i, t := range tokens {
		if displayname.Parse(t.DisplayName).RunID == "" {
			continue
		}
		switch states[i] {
		case sweep.Hidden:
			r.result.Hidden++
		case sweep.Unanswered, sweep.NotAsked:
			r.result.Unanswered++
		}
	}
	return states
}

// examine applies the rules to a PAT, and counts what is found.
func (r *audit) examine(t pat.Token, run sweep.RunState) PAT {
	name := displayname.Parse(t.DisplayName)
	p := PAT{
		ID: t.ID, Name: t.DisplayName, Scopes: t.Scopes, ValidFrom: t.ValidFrom, ValidTo: t.ValidTo,
		Kind: name.Kind, Repository: name.Repository, RunID: name.RunID,
	}
	for i, rule := range r.Rules {
		if !r.found(rule, t, name.Kind, run) {
			continue
		}
		r.result.Findings[i]++
		p.Findings = append(p.Findings, rule.Text)
		p.severity |= 1 << (len(settings.RuleNames) - slices.Index(settings.RuleNames, rule.Name))
	}
	return p
}

// found reports whether a rule applies to a PAT. A date that is unknown is worse than any.
func (r *audit) found(rule settings.Rule, t pat.Token, kind displayname.Kind, run sweep.RunState) bool {
	switch rule.Name {
	case settings.FullAccess:
		return slices.Contains(t.Scopes, pat.FullAccess)
	case settings.AllOrganizations:
		return t.TargetAccounts == nil || len(t.TargetAccounts) > 1
	case settings.OtherPAT:
		return kind == displayname.Other
	case settings.LongLived:
		return t.ValidFrom.IsZero() || t.ValidTo.IsZero() || t.ValidTo.Sub(t.ValidFrom) > rule.Duration+longLivedTolerance
	case settings.EndsWithin:
		return t.ValidTo.IsZero() || t.ValidTo.Sub(r.Now()) < rule.Duration
	case settings.RunOver:
		return run == sweep.Completed
	case settings.HasScope:
		return pat.Covers(t.Scopes, rule.Scope)
	}
	return false
}
