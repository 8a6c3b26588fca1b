package lease

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/timefmt"
)

// verify compares what was granted with what was requested.
func (a *acquisition) verify() error {
	t := a.token
	life := t.ValidTo.Sub(t.ValidFrom)
	if t.ValidFrom.IsZero() {
		life = t.ValidTo.Sub(a.Server())
	}
	if err := wider(t, a.asked.Scopes, a.asked.ValidTo, life-a.want.Lifetime); err != nil {
		return err
	}
	if life <= 0 {
		return fmt.Errorf("the PAT ended at %s, before it could be used", timefmt.Time(t.ValidTo))
	}
	if early := a.asked.ValidTo.Sub(t.ValidTo); early > expiryTolerance {
		a.Log.Warning("PAT ends early", fmt.Sprintf("the PAT ends at %s, %s earlier than requested: a policy of the organization limits its lifetime",
			timefmt.Time(t.ValidTo), timefmt.Rough(early)))
	}
	if missing := slices.DeleteFunc(slices.Clone(a.asked.Scopes), func(s string) bool { return pat.Covers(t.Scopes, s) }); len(missing) > 0 {
		a.Log.Warning("PAT lacks scopes", fmt.Sprintf("Azure DevOps granted the PAT without %s", strings.Join(missing, " ")))
	}
	return nil
}

// notAzureDevOps is the hint for an answer that Azure DevOps does not give.
const notAzureDevOps = "Azure DevOps does not answer like this: check token-service-url and any proxy in between"

// ErrWider is the error of a PAT that allows more than was requested.
var ErrWider = errors.New("the PAT is wider than requested")

// wider returns an error if a PAT allows more than the requested scopes and end. longer
// is how much the PAT's lifetime exceeds the requested one, measured without any clock.
func wider(t pat.Token, scopes []string, until time.Time, longer time.Duration) error {
	var how []string
	if len(t.Scopes) == 0 {
		how = append(how, "the answer does not name its scopes")
	}
	for _, scope := range t.Scopes {
		if !pat.Covers(scopes, scope) {
			how = append(how, fmt.Sprintf("the scope %q was not requested", scope))
		}
	}
	switch n := len(t.TargetAccounts); {
	case t.TargetAccounts == nil:
		how = append(how, "it is valid for all organizations of the user")
	case n != 1:
		how = append(how, fmt.Sprintf("it is valid for %d organizations", n))
	}
	if late := t.ValidTo.Sub(until); late > expiryTolerance {
		how = append(how, fmt.Sprintf("it ends at %s, %s later than requested", timefmt.Time(t.ValidTo), timefmt.Duration(late.Round(100*time.Millisecond))))
	}
	if longer > httpclient.Tolerance {
		how = append(how, fmt.Sprintf("it lives %s longer than requested, until %s", timefmt.Duration(longer.Round(time.Second)), timefmt.Time(t.ValidTo)))
	}
	if len(how) == 0 {
		return nil
	}
	return hint.Add(fmt.Errorf("%w: %s", ErrWider, strings.Join(how, "; ")),
		notAzureDevOps)
}
