package httpclient

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// maxMessage bounds, in runes, what is repeated of a server's words.
const maxMessage = 300

// CodeConditionalAccess is the code with which Azure DevOps itself enforces
// Conditional Access, ConditionalAccess the hint for it.
const CodeConditionalAccess = "VS403463"
const ConditionalAccess = "a Conditional Access policy of the tenant stopped the request, in most cases because the runner's address is not in a named location that the policy allows: " +
	"let an administrator of the tenant admit the runner's network, or exclude this account from the policy"

// Answer is what a service says in an answer other than the one asked for. It
// is read in the same way whichever service it is from. All texts are single
// clean lines without credentials.
type Answer struct {
	// Message is the reason given, from wherever the service put it: JSON, a
	// header, a page's title, plain text. Empty: none was found.
	Message string
	// Code is the numbered error of Azure DevOps, such as TF400813, or empty.
	Code string
	// TypeKey is the name of Azure DevOps' exception, or empty.
	TypeKey string
	// JSON, HTML and Empty say what the body is: at most one of them is true.
	JSON, HTML, Empty bool
	// Challenge is the continuous access evaluation (CAE) challenge, if any.
	Challenge *Challenge
	// Support has the ids that the service's support asks for.
	Support string
}

// Challenge is the demand for another token (continuous access evaluation):
// https://learn.microsoft.com/entra/identity-platform/claims-challenge
type Challenge struct {
	// Claims is the JSON to send as the parameter claims of the next token
	// request; empty where none was given or it could not be read.
	Claims string
}

// Shown is the claims as part of a sentence, or "".
func (c *Challenge) Shown() string { return sanitize.Line(c.Claims, maxMessage) }

// Hint says what a challenge means for the user.
func (c *Challenge) Hint() string {
	text := "the token was revoked, or a Conditional Access policy does not accept it from this address (continuous access evaluation): " +
		"look at the user's sign-in log in Entra"
	if c.Claims != "" {
		text += "; the server asks for a token with the claims " + Hide(c.Shown())
	}
	return text
}

// ReadAnswer reads what an answer says beside what it was asked for. The given
// secrets are removed from all texts, and so is whatever looks like a credential.
func ReadAnswer(h http.Header, body []byte, secrets ...secret.Value) Answer {
	a := Answer{Support: SupportIDs(h, secrets...), Challenge: challengeOf(h)}
	body = Bare(body)
	e, isJSON := errorOf(body)
	a.JSON, a.Empty = isJSON, len(body) == 0
	a.HTML = !a.JSON && !a.Empty && (body[0] == '<' || IsHTML(h))
	text := e.text()
	if text == "" {
		text = serviceError(h)
	}
	if text == "" {
		text = textOf(h, body, a)
	}
	if text == "" {
		text = challengeText(h)
	}
	a.Message = Hide(text, secrets...)
	for _, in := range []string{a.Message, Hide(serviceError(h), secrets...)} {
		if a.Code == "" {
			a.Code = errorCode.FindString(in)
		}
	}
	a.TypeKey = sanitize.Line(notInCode.ReplaceAllString(Hide(string(e.TypeKey), secrets...), ""), 60)
	return a
}

// Anonymous reports whether Azure DevOps did not accept the credential at all: it
// then refuses the anonymous user, not the user that the credential is for.
func (a Answer) Anonymous() bool { return Anonymous(a.Message) }

// Anonymous is [Answer.Anonymous] of a message.
func Anonymous(message string) bool { return anonymousMessage.MatchString(message) }

// anonymous is TF400813 with an empty user, the anonymous principal, or no user.
var anonymousMessage = regexp.MustCompile(`(?i)\bnot available for anonymous access\b|\bTF400813: The user '(?:|a{8}(?:-a{4}){3}-a{12}|0{8}(?:-0{4}){3}-0{12})'`)

// textOf is the reason in a body that is no JSON. Nothing is cut here, or half a
// credential could be left, which [Hide] would not recognize.
func textOf(h http.Header, body []byte, a Answer) string {
	mediaType, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	switch {
	case a.HTML:
		if text := title(body); errorCode.MatchString(text) {
			return text
		}
		// A page of Azure DevOps can have its reason below a title that says
		// nothing.
		if m := errorCodeText.FindString(string(body)); m != "" {
			return html.UnescapeString(m)
		}
		return LooksLike(body)
	case a.JSON || a.Empty:
		return ""
	case mediaType == "", strings.HasPrefix(strings.ToLower(strings.TrimSpace(mediaType)), "text/"):
		return string(body)
	}
	return LooksLike(body)
}

var (
	// numbered is a numbered error of Azure DevOps.
	errorCode     = regexp.MustCompile(`\b(?:TF|VS)[0-9]{5,7}\b`)
	errorCodeText = regexp.MustCompile(`\b(?:TF|VS)[0-9]{5,7}: [^<]+`)
	notInCode     = regexp.MustCompile(`[^A-Za-z0-9_.]+`)
	titleTag      = regexp.MustCompile(`(?is)<title[^>]*>([^<]+)`)
	// credential is what a credential looks like: a PAT of today, a PAT of before
	// July 2024, a JWT.
	credentialForm = regexp.MustCompile(`[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}|\b[a-z2-7]{52}\b|\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)
)

// Hide makes a server's text fit for an error: one line of bounded length,
// without the given secrets and whatever else looks like a credential.
func Hide(text string, secrets ...secret.Value) string {
	return sanitize.Line(Redact(text, secrets...), maxMessage)
}

// Redact makes one line of a text, as [Hide] does, but of any length.
func Redact(text string, secrets ...secret.Value) string {
	// The secrets are removed from the finished line, or one could come about
	// again; and before it is cut, or half of one could stay.
	text = sanitize.Line(text, len(text))
	for _, v := range secrets {
		for _, s := range []string{v.Reveal(), url.QueryEscape(v.Reveal()), url.PathEscape(v.Reveal())} {
			if s = sanitize.Line(s, len(s)); s != "" {
				text = strings.ReplaceAll(text, s, "***")
			}
		}
	}
	return credentialForm.ReplaceAllString(text, "***")
}

// loose is a string where the field of the JSON may be of any type.
type lenientString string

// UnmarshalJSON implements [json.Unmarshaler].
func (l *lenientString) UnmarshalJSON(text []byte) error {
	var s string
	if json.Unmarshal(text, &s) == nil {
		*l = lenientString(s)
	}
	return nil
}

// nested is an error that is a sentence, or an object with a message. A word on
// its own may be a token: GitHub puts its assertion into the field value.
type nestedMessage struct{ Message lenientString }

// UnmarshalJSON implements [json.Unmarshaler].
func (n *nestedMessage) UnmarshalJSON(text []byte) error {
	var s lenientString
	if _ = json.Unmarshal(text, &s); s != "" {
		if strings.Contains(strings.TrimSpace(string(s)), " ") {
			n.Message = s
		}
		return nil
	}
	var object struct {
		Message lenientString `json:"message"`
	}
	_ = json.Unmarshal(text, &object)
	n.Message = object.Message
	return nil
}

// serviceErr has the fields in which the services put their reasons: Azure DevOps
// {"message", "typeKey"} and {"value": text or {"Message"}}, GitHub {"message"},
// Entra {"error_description"}, gateways of Azure {"error": {"message"}}.
type serviceErr struct {
	Message     lenientString `json:"message"`
	TypeKey     lenientString `json:"typeKey"`
	Value       nestedMessage `json:"value"`
	Description lenientString `json:"error_description"`
	Error       nestedMessage `json:"error"`
	Inner       nestedMessage `json:"innerException"`
}

func (e *serviceErr) text() string {
	text := ""
	for _, s := range []lenientString{e.Message, e.Value.Message, e.Description, e.Error.Message} {
		if text = string(s); strings.TrimSpace(text) != "" {
			break
		}
	}
	if inner := string(e.Inner.Message); errorCode.MatchString(inner) && !errorCode.MatchString(text) {
		return strings.TrimPrefix(text+": "+inner, ": ")
	}
	return text
}

// errorOf reads an error in JSON; ok says whether the body is JSON at all.
func errorOf(body []byte) (e serviceErr, ok bool) {
	err := json.Unmarshal(body, &e)
	var mistyped *json.UnmarshalTypeError // an array, a number, a text
	return e, err == nil || errors.As(err, &mistyped)
}

// serviceError is the detail that Azure DevOps at times gives in a header alone.
func serviceError(h http.Header) string {
	for _, text := range h.Values("X-TFS-ServiceError") {
		if plain, err := url.QueryUnescape(text); err == nil {
			text = plain
		}
		if strings.TrimSpace(text) != "" {
			return text
		}
	}
	return ""
}

// Bare is a body without a byte order mark and surrounding white space.
func Bare(body []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\xef\xbb\xbf")))
}

// Decode reads JSON, behind a byte order mark too.
func Decode(body []byte, v any) error { return json.Unmarshal(Bare(body), v) }

// NoContent reports whether the body of a successful answer holds nothing that
// the service itself wrote as its answer: it is empty, a page, or broken JSON.
// The same request may be answered the next time.
func NoContent(body []byte) bool {
	body = Bare(body)
	return len(body) == 0 || !json.Valid(body)
}

// title is the title of a page, or "".
func title(body []byte) string {
	if m := titleTag.FindSubmatch(body); m != nil {
		return strings.TrimSpace(html.UnescapeString(string(m[1])))
	}
	return ""
}

// LooksLike says in a few words what a body is that was to be something else.
func LooksLike(body []byte) string {
	body = Bare(body)
	switch {
	case len(body) == 0:
		return "empty"
	case body[0] == '<':
		if text := title(body); text != "" {
			return `an HTML page titled "` + text + `"`
		}
		return "an HTML page"
	case body[0] == '{' || body[0] == '[':
		return "JSON of another form, or cut off,"
	default:
		return "not JSON"
	}
}

// supportHeaders are the headers with the ids by which the services' support
// finds a request.
var supportHeaders = []string{"X-VSS-E2EID", "ActivityId", "x-ms-request-id", "client-request-id", "X-GitHub-Request-Id"}

// SupportIDs returns the ids that the service's support asks for, as
// "NAME VALUE, NAME VALUE"; empty: none.
func SupportIDs(h http.Header, secrets ...secret.Value) string {
	var ids []string
	for _, name := range supportHeaders {
		if value := Hide(h.Get(name), secrets...); supportID.MatchString(value) && !isPart(value, secrets) {
			ids = append(ids, name+" "+value)
		}
	}
	return strings.Join(ids, ", ")
}

// supportID is the form of an id: a GUID, GitHub's groups of hexadecimal digits, or
// a word that a gateway made up.
var supportID = regexp.MustCompile(`^[A-Za-z0-9:._-]{4,64}$`)

// isPart reports whether an id is a piece of a credential that the server repeated.
func isPart(id string, secrets []secret.Value) bool {
	return len(id) >= 8 && slices.ContainsFunc(secrets, func(v secret.Value) bool { return strings.Contains(v.Reveal(), id) })
}

// Refused makes the error of the answer, as [Refused] does.
func (a Answer) StatusError(doing string, resp *http.Response) *Error {
	e := StatusError(doing, resp, a.Message)
	e.Support = a.Support
	return e
}

// authChallenge is one challenge of WWW-Authenticate (RFC 9110, section 11.6.1).
type authChallenge struct {
	Scheme string
	Params map[string]string // by lower-case name
}

// maxChallenges bounds what is read of WWW-Authenticate.
const maxChallenges = 64

// authChallenges reads every WWW-Authenticate line. It accepts what the services
// send beside the standard: values with ":" and "/" that are not quoted, and
// spaces around "=".
func authChallenges(h http.Header) []authChallenge {
	var list []authChallenge
	for _, line := range h.Values("WWW-Authenticate") {
		for rest := line; len(list) < maxChallenges; {
			rest = strings.TrimLeft(rest, " \t,;")
			if rest == "" {
				break
			}
			end := strings.IndexAny(rest, " \t,;=\"")
			switch {
			case end < 0:
				end = len(rest)
			case end == 0: // a stray "=" or quote
				rest = rest[1:]
				continue
			}
			word := rest[:end]
			rest = rest[end:]
			after, isParam := strings.CutPrefix(strings.TrimLeft(rest, " \t"), "=")
			if !isParam {
				list = append(list, authChallenge{word, map[string]string{}})
				continue
			}
			var value string
			value, rest = paramValue(strings.TrimLeft(after, " \t"))
			if len(list) == 0 { // parameters without a scheme
				list = append(list, authChallenge{"", map[string]string{}})
			}
			if params, name := list[len(list)-1].Params, strings.ToLower(word); len(params) < maxChallenges {
				if _, again := params[name]; !again {
					params[name] = value
				}
			}
		}
	}
	return list
}

// paramValue reads a quoted string or a bare word off the beginning of text.
func paramValue(text string) (value, rest string) {
	if !strings.HasPrefix(text, `"`) {
		if end := strings.IndexAny(text, " \t,;"); end >= 0 {
			return text[:end], text[end:]
		}
		return text, ""
	}
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			return b.String(), text[i+1:]
		case c == '\\' && i+1 < len(text):
			i++
			b.WriteByte(text[i])
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), "" // not closed
}

// challengeOf finds a CAE challenge: by its error, or by its claims, which some
// services send with error="invalid_token".
func challengeOf(h http.Header) (found *Challenge) {
	for _, c := range authChallenges(h) {
		claims := decodeClaims(c.Params["claims"])
		if claims != "" {
			return &Challenge{claims}
		}
		if c.Params["error"] == "insufficient_claims" {
			found = &Challenge{}
		}
	}
	return found
}

// challengeText is the reason that a challenge gives.
func challengeText(h http.Header) string {
	for _, c := range authChallenges(h) {
		for _, name := range []string{"error_description", "error"} {
			if text := c.Params[name]; text != "" {
				return text
			}
		}
	}
	return ""
}

// maxClaims bounds the claims of a challenge, in bytes.
const maxClaims = 8 << 10

// decodeClaims reads the claims of a challenge, in any alphabet of base64 and
// with padding or without; what is not a JSON object gives "".
func decodeClaims(text string) string {
	text = strings.TrimRight(strings.NewReplacer("-", "+", "_", "/", " ", "").Replace(text), "=")
	if len(text) > maxClaims {
		return ""
	}
	claims, err := base64.RawStdEncoding.DecodeString(text)
	if err != nil {
		return ""
	}
	var object map[string]json.RawMessage
	var compact bytes.Buffer
	if json.Unmarshal(claims, &object) != nil || object == nil || json.Compact(&compact, claims) != nil {
		return ""
	}
	return compact.String()
}

// NoContentError is the error of a successful answer without content, to a request
// that may be repeated. The secrets are removed as by [ReadAnswer].
func NoContentError(doing string, resp *http.Response, body []byte, what string, secrets ...secret.Value) *Error {
	e := StatusError(doing, resp, fmt.Sprintf("the answer is %s where %s was due", Hide(LooksLike(body), secrets...), what), secrets...)
	e.Transient, e.MaxAttempts = true, Repeats
	return e
}
