package pat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/google/uuid"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// createRequest is PatTokenCreateRequest. AllOrgs is always false: one organization
// is enough, and Azure DevOps has refused PATs for all organizations ("global")
// since 15 March 2026.
type createRequest struct {
	DisplayName string `json:"displayName"`
	Scope       string `json:"scope"`
	ValidTo     string `json:"validTo"`
	AllOrgs     bool   `json:"allOrgs"`
}

// updateRequest is PatTokenUpdateRequest.
type updateRequest struct {
	AuthorizationID string `json:"authorizationId"`
	DisplayName     string `json:"displayName,omitempty"`
	Scope           string `json:"scope,omitempty"`
	ValidTo         string `json:"validTo,omitempty"`
	AllOrgs         bool   `json:"allOrgs"`
}

// result is PatTokenResult, with the fields of the error that the service's framework
// may send instead.
type result struct {
	PatToken *patToken `json:"patToken"`
	failure
	serviceError
}

// failure has the fields of a 200 for a request that was not carried out.
type failure struct {
	PatTokenError        *string `json:"patTokenError"`
	PatTokenErrorMessage string  `json:"patTokenErrorMessage"`
}

// serviceError is the error of the service's framework; the SDK calls it
// WrappedError.
type serviceError struct {
	Message string `json:"message"`
	TypeKey string `json:"typeKey"`
	Value   struct {
		Message string `json:"Message"`
	} `json:"value"` // the SDK's WrappedImproperError
}

// text returns the message of either form.
func (e serviceError) text() string {
	if e.Message != "" {
		return e.Message
	}
	return e.Value.Message
}

// failed reports whether patTokenError holds anything but "none".
func (f *failure) failed() bool {
	return f.PatTokenError != nil && *f.PatTokenError != "" && !strings.EqualFold(*f.PatTokenError, "none")
}

// patToken is PatToken. The dates are strings, so that an invalid date does not hide
// the id, which is needed for revoking the PAT.
type patToken struct {
	AuthorizationID string   `json:"authorizationId"`
	DisplayName     string   `json:"displayName"`
	Scope           string   `json:"scope"`
	ValidFrom       string   `json:"validFrom"`
	ValidTo         string   `json:"validTo"`
	TargetAccounts  accounts `json:"targetAccounts"`
	Token           string   `json:"token"`
}

// accounts are the ids of organizations, at most maxAccounts: a hostile answer with
// millions of them would use much memory.
type accounts []string

const maxAccounts = 1000

// UnmarshalJSON implements [json.Unmarshaler].
func (a *accounts) UnmarshalJSON(text []byte) error {
	d := json.NewDecoder(bytes.NewReader(text))
	switch begin, err := d.Token(); {
	case err != nil:
		return err
	case begin == nil:
		return nil
	case begin != json.Delim('['):
		return errors.New("no list of organizations")
	}
	*a = accounts{} // none is not the same as null, which means all
	for d.More() && len(*a) < maxAccounts {
		var id string
		if err := d.Decode(&id); err != nil {
			return err
		}
		*a = append(*a, id)
	}
	return nil
}

// token converts the answer. Invalid dates become zero.
func (t *patToken) token() Token {
	return Token{
		ID:             t.AuthorizationID,
		DisplayName:    t.DisplayName,
		Scopes:         strings.Fields(t.Scope),
		ValidFrom:      readTime(t.ValidFrom),
		ValidTo:        readTime(t.ValidTo),
		TargetAccounts: t.TargetAccounts,
		Secret:         secret.New(t.Token),
	}
}

// wireTime formats a date for a request: RFC 3339, UTC, whole seconds. The server
// rounds to hundredths of a second, so a fraction could change.
func wireTime(t time.Time) string { return t.UTC().Truncate(time.Second).Format(time.RFC3339) }

// readTime parses a date of the server; zero if it is invalid. Some of Azure DevOps'
// dates have no time zone and mean UTC (azure-devops-go-api, issues 17 and 59).
func readTime(text string) time.Time {
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05"} {
		if t, err := time.Parse(layout, text); err == nil {
			return t.UTC()
		}
	}
	return time.Time{}
}

// These find parts of a PAT in invalid JSON. Every PAT so far has had at least 52
// characters. Something much shorter may be a common word, and masking it would
// make the log unreadable.
var (
	idInText    = regexp.MustCompile(`(?i)"authorizationId"\s*:\s*"([0-9a-f-]{36})"`)
	nameInText  = regexp.MustCompile(`(?i)"displayName"\s*:\s*("(?:[^"\\]|\\.)*")`)
	tokenInText = regexp.MustCompile(`(?i)"token"\s*:\s*"([!#-\[\]-~]{20,})"`)
)

// isID reports whether text can be the id of a PAT: a GUID with hyphens that is
// not all zeros.
func isID(text string) bool {
	id, err := uuid.Parse(text)
	return err == nil && id != uuid.Nil && len(text) == len(id.String())
}

// sendForToken sends a request whose answer is one PAT.
func (c *Client) sendForToken(ctx context.Context, r call) (Token, error) {
	status, body, header, err := c.send(ctx, r)
	if err != nil {
		return salvage(nil, body), err
	}
	var res result
	doubt := func(message, code string) (Token, error) {
		t := salvage(res.PatToken, body)
		return t, c.withCall(r, &Error{
			Status: status, Unreadable: true, foreign: isHTML(body),
			Support: httpclient.SupportIDs(header, c.token),
			Code:    c.code(code, "", t.Secret.Reveal()),
			Message: c.redact(message, t.Secret.Reveal()),
		})
	}
	if err := httpclient.Decode(body, &res); err != nil {
		t := salvage(res.PatToken, body)
		return t, c.withCall(r, c.unreadableError(status, header, body, " instead of a PAT", t.Secret))
	}
	if res.failed() {
		if res.PatToken == nil {
			token := salvage(nil, body).Secret.Reveal()
			return Token{}, c.withCall(r, &Error{
				Status:  status,
				Code:    c.code(*res.PatTokenError, "", token),
				Message: c.redact(res.PatTokenErrorMessage, token),
				Support: httpclient.SupportIDs(header, c.token),
			})
		}
		return doubt("the answer carries both a PAT and an error", *res.PatTokenError)
	}
	if res.PatToken == nil {
		if text := res.text(); text != "" {
			return doubt(text, res.TypeKey)
		}
		return doubt("the answer carries neither a PAT nor an error", "")
	}
	t := res.PatToken.token()
	switch {
	case !isID(t.ID):
		return doubt("the answer carries a PAT without a valid authorizationId", "")
	case t.ValidTo.IsZero():
		return doubt("the answer carries a PAT whose validTo cannot be read", "")
	case r.op == "create" && t.Secret.IsZero():
		return doubt("the answer carries a PAT without its token", "")
	case !t.Secret.IsZero() && !t.Secret.FitsHeader(): // the length and the alphabet of PATs have changed before
		return doubt("the answer carries a PAT whose token has characters that no token has", "")
	}
	return t, nil
}

// unreadableError returns the error of a 2xx with unexpected content. due completes
// the message, as in " instead of a PAT".
func (c *Client) unreadableError(status int, header http.Header, body []byte, due string, token secret.Value) *Error {
	a := httpclient.ReadAnswer(header, body, c.token, token)
	e := &Error{
		Status: status, Unreadable: true, foreign: a.HTML, noContent: httpclient.NoContent(body),
		Code: a.Code, Challenge: a.Challenge, Support: a.Support,
		Message: c.redact("the answer is "+httpclient.LooksLike(body)+due, token.Reveal()),
	}
	if a.Code != "" && !strings.Contains(e.Message, a.Code) {
		e.Message = sanitize.Line(e.Message+": "+a.Message, maxMessage)
	}
	return e
}

// salvage returns the id, name and secret of a PAT that an invalid answer contains,
// each only if it has a valid form.
func salvage(p *patToken, body []byte) Token {
	var t Token
	if p != nil {
		t = Token{ID: p.AuthorizationID, DisplayName: p.DisplayName, Secret: secret.New(p.Token)}
	}
	if all := nameInText.FindAllSubmatch(body, 2); t.DisplayName == "" && len(all) == 1 {
		_ = json.Unmarshal(all[0][1], &t.DisplayName)
	}
	if m := idInText.FindSubmatch(body); !isID(t.ID) && m != nil {
		t.ID = string(m[1])
	}
	if m := tokenInText.FindSubmatch(body); t.Secret.IsZero() && m != nil {
		t.Secret = secret.New(string(m[1]))
	}
	if !isID(t.ID) {
		t.ID = ""
	}
	return t
}

// isHTML reports whether a body is a web page.
func isHTML(body []byte) bool { return bytes.HasPrefix(httpclient.Bare(body), []byte("<")) }
