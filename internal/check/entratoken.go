package check

import (
	"context"
	"errors"
	"net/http"
	"time"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/secret"
)

// notScoped is what a service principal's own token lacks.
const notScoped = "not scoped, and cannot be revoked"

// reportEntraToken reports what the token is, whose, and when it ends. Access tokens are
// opaque to clients, so one that cannot be parsed is not a failure.
func (k *preflight) reportEntraToken(token secret.Value) {
	row := k.row.user
	if token.IsZero() {
		row.Skip("not tried: there is no token")
		return
	}
	var claims tokenClaims
	if err := assertion.Decode(token, &claims); err != nil {
		row.Pass("a token that only Azure DevOps is meant to read; %s", notScoped)
		return
	}
	claim := claims.text
	k.job.Principal = claim("oid")
	seen := listed(
		[2]string{"idtyp", claim("idtyp")}, [2]string{"application", claim("appid", "azp")},
		[2]string{"service principal", claim("oid")}, [2]string{"tid", claim("tid")}, [2]string{"aud", claim("aud")},
	) + ", " + k.until(claims) + "; " + notScoped
	switch tenant := k.otherTenant(claims); {
	case !claims.forAzureDevOps():
		row.Fail("check authority-host: Entra gave a token for another service than it was asked for", "it is not for Azure DevOps: %s", seen)
	case tenant != "":
		row.Fail("get the token in the organization's tenant, "+tenant, "it is of another tenant than %s: %s", tenant, seen)
	default:
		row.Pass("%s", seen)
	}
}

// askCaller asks the organization whether it takes the token. What the service principal
// may do there depends on its permissions.
func (k *preflight) askCaller(ctx context.Context, token secret.Value) {
	row := k.row.list
	if b := k.failed("host-azure-devops"); b != nil {
		row.Skip("not tried: %s failed", b.Name)
		return
	}
	if token.IsZero() {
		row.Skip("not tried: there is no token")
		return
	}
	start := time.Now()
	client := k.SignIn.PATs(k.client, token)
	var caller string
	err := httpclient.Retry(ctx, k.Platform.Log(), "asking the organization", func(ctx context.Context) (err error) {
		caller, err = client.Caller(ctx)
		return err
	})
	row.Took = time.Since(start)
	support := k.headers.support(k.Settings.TokenServiceURL, err)
	switch refused := (*pat.Error)(nil); {
	case err == nil:
		row.Pass("the organization accepts the token, as %s; the service principal's permissions decide what it may do%s", caller, support)
	case errors.As(err, &refused) && refused.Status == http.StatusNotFound: // not every host of Azure DevOps answers this
		row.Skip("the organization does not say: %v%s", err, support)
	default:
		row.Fail(k.job.Remedy(err), "%v%s", err, support)
	}
}
