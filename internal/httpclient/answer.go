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
	"sync"

	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// maxMessage limits, in runes, the part of a server's text that is shown.
const maxMessage = 300

// CodeConditionalAccess is Azure DevOps' own error for Conditional Access.
const CodeConditionalAccess = "VS403463"

// ConditionalAccess is the hint for a refusal by Conditional Access.
const ConditionalAccess = "a Conditional Access policy of the tenant stopped the request, in most cases because the runner's address is not in a named location that the policy allows: " +
	"let an administrator of the tenant allow the runner's network, or exclude this account from the policy"

// Answer is the content of an unexpected answer, of any service. All texts are
// single lines without control characters and credentials.
type Answer struct {
	// Message is the reason, from JSON, a header, a page's title or plain text.
	// Empty: none was found.
	Message string
	// Code is the numbered error of Azure DevOps, such as TF400813, or empty.
	Code string
	// TypeKey is the name of Azure DevOps' exception, such as
	// InvalidAccessException, or empty.
	TypeKey string
	// JSON, HTML and Empty describe the body. At most one of them is true.
	JSON, HTML, Empty bool
	// Challenge is the continuous access evaluation (CAE) challenge, if any.
	Challenge *Challenge
	// Support lists the ids that the service's support needs, see [SupportIDs].
	Support string
}

// Challenge is the demand for another token (continuous access evaluation):
// https://learn.microsoft.com/entra/identity-platform/claims-challenge
type Challenge struct {
	// Claims is the JSON to send as the parameter claims of the next token
	// request; empty where none was given or it could not be read.
	Claims string
}

// Shown returns the claims as one line of bounded length, or "".
func (c *Challenge) Shown() string { return sanitize.Line(c.Claims, maxMessage) }

// Hint explains the challenge to the user.
func (c *Challenge) Hint() string {
	text := "the token was revoked, or a Conditional Access policy does not accept it from this address (continuous access evaluation): " +
		"look at the user's sign-in log in Entra"
	if c.Claims != "" {
		text += "; the server asks for a token with the claims " + Hide(c.Shown())
	}
	return text
}

// ReadAnswer reads an unexpected answer. It removes from all texts the given secrets
// and whatever has the form of a credential.
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

// Anonymous reports whether Azure DevOps did not accept the credential: it then
// names the anonymous user, not the user of the credential.
func (a Answer) Anonymous() bool { return Anonymous(a.Message) }

// Anonymous is [Answer.Anonymous] for a message.
func Anonymous(message string) bool { return anonymousMessage().MatchString(message) }

// anonymousMessage matches TF400813 with an empty user or the anonymous principal.
//
// It is compiled when it is first used, which saves each command 30 µs.
var anonymousMessage = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`(?i)\bnot available for anonymous access\b|\bTF400813: The user '(?:|a{8}(?:-a{4}){3}-a{12}|0{8}(?:-0{4}){3}-0{12})'`)
})

// textOf returns the reason in a body that is not JSON. It does not shorten it: half
// of a credential would not be recognized by [Hide].
func textOf(h http.Header, body []byte, a Answer) string {
	mediaType, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	switch {
	case a.HTML:
		if text := title(body); errorCode.MatchString(text) {
			return text
		}
		// Some pages of Azure DevOps have the reason in the text, not in the title.
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
	// errorCode matches the number of an Azure DevOps error.
	errorCode     = regexp.MustCompile(`\b(?:TF|VS)[0-9]{5,7}\b`)
	errorCodeText = regexp.MustCompile(`\b(?:TF|VS)[0-9]{5,7}: [^<]+`)
	notInCode     = regexp.MustCompile(`[^A-Za-z0-9_.]+`)
	titleTag      = regexp.MustCompile(`(?is)<title[^>]*>([^<]+)`)
	// credentialForm matches a PAT, a PAT from before July 2024, and a JWT.
	// It is compiled when it is first used, which saves each command 40 µs.
	credentialForm = sync.OnceValue(func() *regexp.Regexp {
		return regexp.MustCompile(`[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}|\b[a-z2-7]{52}\b|\beyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*`)
	})
)

// Hide prepares a server's text for an error: one line of at most 300 runes,
// without the given secrets and whatever else has the form of a credential.
func Hide(text string, secrets ...secret.Value) string {
	return sanitize.Line(Redact(text, secrets...), maxMessage)
}

// Redact is [Hide] without a limit of length.
func Redact(text string, secrets ...secret.Value) string {
	// Redact the finished line, because removing characters could form a secret;
	// and before it is shortened, because that could leave half of one.
	text = sanitize.Line(text, len(text))
	for _, v := range secrets {
		for _, s := range []string{v.Reveal(), url.QueryEscape(v.Reveal()), url.PathEscape(v.Reveal())} {
			s = sanitize.Line(s, len(s))
			if s != "" {
				text = strings.ReplaceAll(text, s, "***")
			}
		}
	}
	return credentialForm().ReplaceAllString(text, "***")
}

// lenientString is a JSON field that should be a string. Other types are ignored.
type lenientString string

// UnmarshalJSON implements [json.Unmarshaler].
func (l *lenientString) UnmarshalJSON(text []byte) error {
	var s string
	if json.Unmarshal(text, &s) == nil {
		*l = lenientString(s)
	}
	return nil
}

// nestedMessage is a JSON field that holds a sentence, or an object with a message.
// A single word is ignored: GitHub's field value holds the assertion.
type nestedMessage struct{ Message lenientString }

// UnmarshalJSON implements [json.Unmarshaler].
func (n *nestedMessage) UnmarshalJSON(text []byte) error {
	var s lenientString
	_ = json.Unmarshal(text, &s)
	if s != "" {
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

// serviceErr has the fields that hold the reason of an error: Azure DevOps
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
		text = string(s)
		if strings.TrimSpace(text) != "" {
			break
		}
	}
	if inner := string(e.Inner.Message); errorCode.MatchString(inner) && !errorCode.MatchString(text) {
		return strings.TrimPrefix(text+": "+inner, ": ")
	}
	return text
}

// errorOf reads an error in JSON. ok reports whether the body is JSON.
func errorOf(body []byte) (e serviceErr, ok bool) {
	err := json.Unmarshal(body, &e)
	var mistyped *json.UnmarshalTypeError // an array, a number, a text
	return e, err == nil || errors.As(err, &mistyped)
}

// serviceError returns the reason that Azure DevOps sometimes gives only in a header.
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

// Bare returns a body without a byte order mark and surrounding white space.
func Bare(body []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(body), []byte("\xef\xbb\xbf")))
}

// Decode reads JSON, with or without a byte order mark.
func Decode(body []byte, v any) error { return json.Unmarshal(Bare(body), v) }

// NoContent reports whether the body of a successful answer is empty, a web page, or
// invalid JSON. The next attempt may get a complete answer.
func NoContent(body []byte) bool {
	body = Bare(body)
	return len(body) == 0 || !json.Valid(body)
}

// title returns the title of an HTML page, or "".
func title(body []byte) string {
	if m := titleTag.FindSubmatch(body); m != nil {
		return strings.TrimSpace(html.UnescapeString(string(m[1])))
	}
	return ""
}

// LooksLike describes an unexpected body, as in "an HTML page".
func LooksLike(body []byte) string {
	body = Bare(body)
	switch {
	case len(body) == 0:
		return "an empty body"
	case body[0] == '<':
		if text := title(body); text != "" {
			return `an HTML page titled "` + text + `"`
		}
		return "an HTML page"
	case body[0] == '{' || body[0] == '[':
		return "JSON of another form, or cut off,"
	default:
		return "text that is not JSON"
	}
}

// supportHeaders are the headers with ids by which a service's support can find a
// request.
var supportHeaders = []string{"X-VSS-E2EID", "ActivityId", "x-ms-request-id", "client-request-id", "X-GitHub-Request-Id"}

// SupportIDs returns the ids that the service's support needs, as
// "NAME VALUE, NAME VALUE", or "".
func SupportIDs(h http.Header, secrets ...secret.Value) string {
	var ids []string
	for _, name := range supportHeaders {
		if value := Hide(h.Get(name), secrets...); len(value) >= 4 && len(value) <= 64 && supportID.MatchString(value) && !isPart(value, secrets) {
			ids = append(ids, name+" "+value)
		}
	}
	return strings.Join(ids, ", ")
}

// supportID matches an id of any length: a GUID, GitHub's groups of hexadecimal digits,
// or a word chosen by a gateway.
var supportID = regexp.MustCompile(`^[A-Za-z0-9:._-]+$`)

// isPart reports whether an id is part of a credential.
func isPart(id string, secrets []secret.Value) bool {
	return len(id) >= 8 && slices.ContainsFunc(secrets, func(v secret.Value) bool { return strings.Contains(v.Reveal(), id) })
}

// StatusError returns the error of the answer, see [StatusError].
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

// maxChallenges limits the challenges, and the parameters of each, that are read.
const maxChallenges = 64

// authChallenges reads all WWW-Authenticate headers. It also accepts what the
// services send in violation of the standard: unquoted values with ":" and "/", and
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

// paramValue reads the quoted string or word at the beginning of text.
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

// challengeOf returns the CAE challenge, or nil. It has claims or the error
// insufficient_claims; some services send the claims with error="invalid_token".
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

// challengeText returns the reason in a challenge, or "".
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

// maxClaims limits the claims of a challenge, in bytes of base64.
const maxClaims = 8 << 10

// decodeClaims decodes the claims of a challenge, in either alphabet of base64 and
// with or without padding. It returns "" if they are not a JSON object.
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

// NoContentError returns the error of a successful answer without content, see
// [NoContent]. It is retryable up to [Repeats] times. what is the expected content,
// as in "a token". The secrets are removed as by [ReadAnswer].
func NoContentError(doing string, resp *http.Response, body []byte, what string, secrets ...secret.Value) *Error {
	e := StatusError(doing, resp, fmt.Sprintf("the answer is %s instead of %s", Hide(LooksLike(body), secrets...), what), secrets...)
	e.Transient, e.MaxAttempts = true, Repeats
	return e
}
