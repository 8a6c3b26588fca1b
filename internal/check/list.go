package check

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/displayname"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/timefmt"
)

// askList asks Azure DevOps for the user's PATs, which it shows only to users who
// may manage them. Whatever the token's claims are, this decides.
func (k *preflight) askList(ctx context.Context, token secret.Value) {
	row := k.row.list
	if b := k.failed("host-azure-devops"); b != nil {
		row.Skip("not tried: %s failed", b.Name)
		return
	}
	if token.IsZero() {
		row.Skip("not tried: there is no token")
		return
	}
	var claims tokenClaims
	if assertion.Decode(token, &claims) == nil {
		k.job.User = cmp.Or(claims.user(), k.job.User)
	}
	start := time.Now()
	pats := k.SignIn.PATs(k.client, token)
	var found patCount
	err := httpclient.Retry(ctx, k.Platform.Log(), "listing PATs", func(ctx context.Context) (err error) {
		found, err = countPATs(ctx, pats)
		return err
	})
	row.Took = time.Since(start)
	support := k.headers.support(k.Settings.TokenServiceURL, err)
	if err != nil {
		refused := (*pat.Error)(nil)
		k.listRefused = errors.As(err, &refused) && refused.MayLackScope()
		row.Fail(k.job.Remedy(err), "%v%s", err, support)
		return
	}
	row.Pass("list of PATs answered: %s%s", found, support)
}

// patCount counts the user's active PATs.
type patCount struct {
	all, ours int
	oldest    time.Time
}

// maxCounted is how many PATs are counted.
const maxCounted = 100

func countPATs(ctx context.Context, pats *pat.Client) (c patCount, err error) {
	for t, err := range pats.List(ctx, pat.Filter{Ascending: true}) {
		if err != nil {
			return c, err
		}
		c.all++
		if displayname.Parse(t.DisplayName).Kind != displayname.Other {
			c.ours++
		}
		if from := t.ValidFrom; !from.IsZero() && (c.oldest.IsZero() || from.Before(c.oldest)) {
			c.oldest = from
		}
		if c.all == maxCounted {
			break
		}
	}
	return c, nil
}

func (c patCount) String() string {
	text := fmt.Sprintf("%d active", c.all)
	if c.all == maxCounted {
		text += " or more"
	}
	text += fmt.Sprintf(", %d of azdo-pat's", c.ours)
	if !c.oldest.IsZero() {
		text += ", the oldest from " + timefmt.Time(c.oldest)
	}
	return text
}
