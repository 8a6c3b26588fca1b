package login

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/entra"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
)

// finish redeems the code, checks the token and stores the refresh token.
func (r *run) finish(ctx context.Context, a *entra.Authorization, answer *callback) (Result, error) {
	if answer.refused != "" {
		return Result{}, a.Refused(r.Settings.AuthorityHost, answer.refused, answer.description)
	}
	ctx, cancel := r.withTimeout(ctx)
	defer cancel()
	if err := r.Mask(answer.code); err != nil {
		return Result{}, err
	}
	token, err := r.redeem(ctx, &entra.Code{Authorization: a, Code: answer.code})
	if err != nil {
		return Result{}, err
	}
	user, err := r.checkUser(token)
	if err != nil {
		return Result{}, err
	}
	err = checkToken(token)
	if err != nil {
		return Result{Person: user}, fmt.Errorf("signed in as %s, but %w", user, err)
	}
	err = r.askOrganization(ctx, token.Access)
	if err != nil {
		return Result{Person: user}, fmt.Errorf("signed in as %s, but the organization %s does not answer: %w", user, r.Settings.Organization, err)
	}
	stored, err := r.store(ctx, token.Refresh)
	if err != nil {
		return Result{Person: user}, fmt.Errorf("signed in as %s, but %w", user, err)
	}
	return Result{Person: user, Stored: stored}, nil
}

// knownPause and knownAttempts are for a certificate that only some of Entra's servers
// know.
const (
	knownPause    = 5 * time.Second
	knownAttempts = 6
)

// redeem redeems the code.
func (r *run) redeem(ctx context.Context, code *entra.Code) (entra.Token, error) {
	for attempt := 1; ; attempt++ {
		token, err := r.exchange(ctx, code)
		if !r.unknownCertificate(err) || attempt == knownAttempts {
			return token, err
		}
		r.Log.Infof("one of Entra's servers does not know the certificate yet; trying again in %s", knownPause)
		select {
		case <-ctx.Done():
			return entra.Token{}, fmt.Errorf("%w: %w", context.Cause(ctx), err)
		case <-r.After(knownPause):
		}
	}
}

// Person is a user who signed in. Either may be empty.
type Person struct {
	Name string // the user principal name, which can change
	ID   string // the object id, which cannot
}

// String implements [fmt.Stringer]. The object id tells whom a name belongs to.
func (p Person) String() string {
	switch {
	case p.Name == "" && p.ID == "":
		return "a user whom Entra does not name"
	case p.Name == "":
		return "the user with object id " + p.ID
	case p.ID == "":
		return p.Name
	}
	return p.Name + " (object id " + p.ID + ")"
}

// longestName limits, in characters, a user's name.
const longestName = 255

// checkUser reads from the id_token who signed in, who must be username if that is set.
// https://learn.microsoft.com/entra/identity-platform/id-token-claims-reference
func (r *run) checkUser(token entra.Token) (Person, error) {
	var claims struct {
		Name any `json:"preferred_username"`
		ID   any `json:"oid"`
	}
	err := assertion.Decode(token.ID, &claims)
	p := Person{Name: sanitize.Line(assertion.Text(claims.Name), longestName)}
	if id := assertion.Text(claims.ID); settings.IsGUID(id) {
		p.ID = strings.ToLower(id)
	}
	want := r.Settings.Username
	switch {
	case want == "" || err == nil && strings.EqualFold(assertion.Text(claims.Name), want):
		return p, nil
	case err != nil:
		return p, fmt.Errorf("the answer does not tell who signed in: the id_token is %w", err)
	}
	return p, hint.Add(fmt.Errorf("signed in as %s and not as %s", p, want),
		"run azdo-pat login again and choose the account "+want+" in the browser; a private window has no other account")
}

// needed are the delegated permissions for Azure DevOps' PAT API. The older
// user_impersonation includes them.
var needed = []string{"vso.pats", "vso.pats_manage"}

// checkToken checks that there is a refresh token and that the permissions were granted.
func checkToken(token entra.Token) error {
	if token.Refresh.IsZero() {
		return hint.Add(errors.New("no refresh token came from Entra"),
			"grant the permission offline_access of Microsoft Graph to the application, and register the redirect URI http://localhost under the platform Web alone")
	}
	if fault := token.Refresh.Fault(); fault != "" {
		return errors.New("the refresh token from Entra " + fault)
	}
	granted := grantedScopes(token)
	if len(granted) == 0 || slices.Contains(granted, "user_impersonation") {
		return nil
	}
	missing := slices.DeleteFunc(slices.Clone(needed), func(s string) bool { return slices.Contains(granted, s) })
	if len(missing) == 0 {
		return nil
	}
	return hint.Add(&MissingScopes{missing}, "an administrator must grant it; then sign in again")
}

// MissingScopes is the error of a token to which delegated permissions were not granted.
type MissingScopes struct{ Scopes []string }

// Error implements error.
func (e *MissingScopes) Error() string {
	return "the token lacks the permission " + strings.Join(e.Scopes, " and ")
}

// grantedScopes are the permissions in the access token or, if that cannot be read, those
// in the answer. Empty: neither names any.
func grantedScopes(token entra.Token) (granted []string) {
	var claims struct {
		Scopes any `json:"scp"`
	}
	_ = assertion.Decode(token.Access, &claims) // not an error: see above
	for _, scope := range strings.FieldsFunc(cmp.Or(assertion.Text(claims.Scopes), token.Scope), func(r rune) bool { return r == ' ' || r == ',' }) {
		scope = scope[strings.LastIndex(scope, "/")+1:]
		if scope != ".default" && !slices.Contains([]string{"openid", "profile", "email", "offline_access"}, scope) {
			granted = append(granted, scope)
		}
	}
	return granted
}

// askOrganization asks for the first page of the user's PATs, which Azure DevOps shows
// only to a member who may manage them.
func (r *run) askOrganization(ctx context.Context, access secret.Value) error {
	pats := pat.New(pat.Options{
		HTTP: r.client, BaseURL: r.Settings.TokenServiceURL, Organization: r.Settings.Organization,
		Token: access, UserAgent: r.UserAgent,
	})
	return httpclient.Retry(ctx, r.Log, "listing PATs", func(ctx context.Context) error {
		_, err := pats.Next(ctx, pat.NewCursor(pat.Filter{}))
		return err
	})
}
