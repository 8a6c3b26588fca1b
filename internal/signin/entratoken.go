package signin

import (
	"context"
	"fmt"
	"time"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

// EntraToken is a service principal's own access token for Azure DevOps, which is handed
// over in place of a PAT.
type EntraToken struct {
	Secret secret.Value
	// Ends is when it ends, by Entra's clock, and Left how long that is from now on.
	Ends time.Time
	Left time.Duration
	// Principal is the object id of the service principal; empty if the token cannot be
	// parsed.
	Principal string
}

// EntraToken gets the token of the service principal that the settings name.
func (c *Client) EntraToken(ctx context.Context) (*EntraToken, error) {
	logIdentity := c.identityLog()
	client, clock := c.measured(httpclient.HostOf(c.Settings.AuthorityHost))
	logIdentity("identity: %s", Describe(c.Settings))
	x, _ := c.Exchange(client)
	token, err := c.exchange(ctx, x, logIdentity)
	if err != nil {
		return nil, err
	}
	session := &Session{Clock: clock}
	session.readToken(token.Access)
	// A Date is the beginning of its second, so this is the earliest that it can be there.
	now := time.Now().Add(-clock.Skew().Max)
	ends := session.TokenEnds
	if token.Lifetime > 0 {
		// Clients must treat a token as opaque, so its own end only ever shortens this.
		if answered := now.Add(token.Lifetime); ends.IsZero() || answered.Before(ends) {
			ends = answered
		}
	}
	if ends.IsZero() {
		return nil, fmt.Errorf("get a token of the service principal for client %s: %s does not say when the token ends", c.Settings.ClientID, httpclient.HostOf(c.Settings.AuthorityHost))
	}
	return &EntraToken{Secret: token.Access, Ends: ends.Truncate(time.Second), Left: ends.Sub(now), Principal: session.User}, nil
}
