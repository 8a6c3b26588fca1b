package emulator_test

import (
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

func TestAssertionRefused(t *testing.T) {
	t.Parallel()
	claim := func(name string, value any) func(*client) string {
		return func(c *client) string {
			return c.e.Assertion(func(claims map[string]any) {
				if claims[name] = value; value == nil {
					delete(claims, name)
				}
			})
		}
	}
	for name, test := range map[string]struct {
		assertion func(*client) string
		change    func(*emulator.State)
		code      string
	}{
		"issuer":                   {claim("iss", "https://token.actions.example.com"), nil, "700211"},
		"issuer with a slash more": {func(c *client) string { return claim("iss", c.e.GitHubIssuer()+"/")(c) }, nil, "700211"},
		"subject":                  {claim("sub", "repo:contoso/widgets:ref:refs/heads/other"), nil, "700213"},
		"subject in another case":  {claim("sub", "repo:Contoso/widgets:ref:refs/heads/main"), nil, "7002138"},
		"no subject":               {claim("sub", nil), nil, "700213"},
		"audience":                 {claim("aud", "https://github.com/contoso"), nil, "700212"},
		"audience in another case": {claim("aud", "api://azureadtokenexchange"), nil, "700212"},
		"expired": {func(c *client) string {
			a := c.e.Assertion()
			c.e.Advance(5 * time.Minute)
			return a
		}, nil, "700024"},
		"without an end": {claim("exp", nil), nil, "700024"},
		"not yet valid": {func(c *client) string {
			return claim("nbf", c.e.Now(emulator.Entra).Add(time.Second).Unix())(c)
		}, nil, "700024"},
		"Entra's clock behind": {func(c *client) string {
			c.e.Skew(emulator.Entra, -11*time.Minute)
			return c.e.Assertion()
		}, nil, "700024"},
		"another's signature": {func(c *client) string { return c.e.ForgedAssertion() }, nil, "700027"},
		"tampered with":       {func(c *client) string { return flip(c.assertion()) }, nil, "700027"},
		"unsigned":            {func(c *client) string { return unsigned(c.assertion()) }, nil, "50027"},
		"no JWT":              {func(c *client) string { return "ey.no.jwt" }, nil, "50027"},
		"no federated credential": {(*client).assertion, func(w *emulator.State) {
			w.App(emulator.BlueprintID).Credentials = nil
		}, "70025"},
		"public client": {(*client).assertion, func(w *emulator.State) {
			w.App(emulator.BlueprintID).Public = true
		}, "700025"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			if test.change != nil {
				c.e.Change(test.change)
			}
			request := c.leg1()
			request["client_assertion"] = test.assertion(c)
			c.refused(c.exchange(form(request)), test.code)
		})
	}
}

// unsigned makes a JWT one of alg none.
func unsigned(jwt string) string {
	return "eyJhbGciOiJub25lIn0." + strings.Split(jwt, ".")[1] + "."
}

// An assertion is used up by the first request that carries it, even if a
// fault keeps the request from its operation, as a retry would find it.
func TestAssertionReused(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]emulator.Fault{
		"after a success":         nil,
		"after a 503":             emulator.EntraError(90033),
		"after a lost connection": emulator.Drop,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			request := form(c.leg1())
			if fault != nil {
				c.e.Intercept(emulator.OpT1, emulator.Times(1, fault))
			}
			c.try("POST", c.tokenURL(), request, "Content-Type", "application/x-www-form-urlencoded")
			c.refused(c.exchange(request), "7009999")
			if v := c.e.Violations(); len(v) != 1 || v[0].Op != emulator.OpT1 {
				t.Errorf("violations %v, want the assertion presented twice", v)
			}
			c.mustExchange(form(c.leg1()))
		})
	}
}

func TestAssertionReusedByAnotherGrant(t *testing.T) {
	t.Parallel()
	c := start(t)
	first := c.withPassword()
	c.mustExchange(form(first))
	c.refused(c.exchange(form(c.refreshing(), map[string]string{"client_assertion": first["client_assertion"]})), "7009999")
}

func TestAssertionReusedWhereThatIsAllowed(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Change(func(w *emulator.State) { w.AllowReusedAssertions = true })
	request := form(c.leg1())
	c.mustExchange(request)
	c.mustExchange(request)
	if v := c.e.Violations(); len(v) != 0 {
		t.Errorf("violations %v, want none", v)
	}
}

func TestAssertionOfGitLab(t *testing.T) {
	t.Parallel()
	c := start(t)
	request := c.leg1()
	request["client_assertion"] = c.e.Assertion(emulator.GitLab)
	c.mustExchange(form(request))
}

// A credential trusts one issuer's subject, not every issuer's.
func TestAssertionOfGitLabWithTheSubjectOfGitHub(t *testing.T) {
	t.Parallel()
	c := start(t)
	request := c.leg1()
	request["client_assertion"] = c.e.Assertion(emulator.GitLab, func(claims map[string]any) { claims["sub"] = c.e.Job().Subject() })
	c.refused(c.exchange(form(request)), "700213")
}
