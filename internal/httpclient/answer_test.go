package httpclient

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"unicode"
	"unicode/utf8"

	"azdo-pat/internal/secret"
)

// header parses lines into a header.
func header(lines ...string) http.Header {
	h := http.Header{}
	for _, line := range lines {
		name, value, _ := strings.Cut(line, ": ")
		h.Add(name, value)
	}
	return h
}

// ReadAnswer finds the reason for a refusal in every place where services put it.
func TestReadAnswer(t *testing.T) {
	t.Parallel()
	const bom = "\xef\xbb\xbf"
	pat := strings.Repeat("a", 76) + "AZDO1234"
	for _, tc := range []struct {
		name    string
		headers []string
		body    string
		want    Answer
	}{
		{"nothing", nil, "", Answer{Empty: true}},
		{"a byte order mark alone", nil, bom + "\r\n", Answer{Empty: true}},
		{"Azure DevOps", nil, `{"$id":"1","message":"TF400813: no","typeKey":"UnauthorizedRequestException"}`,
			Answer{JSON: true, Message: "TF400813: no", Code: "TF400813", TypeKey: "UnauthorizedRequestException"}},
		{"after a byte order mark", nil, bom + `{"message":"TF1: no"}`, Answer{JSON: true, Message: "TF1: no"}},
		{"white space around a byte order mark", nil, "\n" + bom + " {\"message\":\"no\"}", Answer{JSON: true, Message: "no"}},
		{"a value that is an object", nil, `{"count":1,"value":{"Message":"no such thing"}}`, Answer{JSON: true, Message: "no such thing"}},
		{"a value that is a sentence", nil, `{"count":1,"value":"no such thing"}`, Answer{JSON: true, Message: "no such thing"}},
		{"a value that may be a token", nil, `{"value":"opaque-assertion"}`, Answer{JSON: true}},
		{"GitHub", nil, `{"message":"Not Found","documentation_url":"https://docs.github.com"}`, Answer{JSON: true, Message: "Not Found"}},
		{"Entra", nil, `{"error":"invalid_grant","error_description":"AADSTS50126: no"}`, Answer{JSON: true, Message: "AADSTS50126: no"}},
		{"a gateway of Azure", nil, `{"error":{"code":"Throttled","message":"slow down"}}`, Answer{JSON: true, Message: "slow down"}},
		{"an error within", nil, `{"message":"It failed.","innerException":{"message":"TF401444: no"}}`, Answer{JSON: true, Message: "It failed.: TF401444: no", Code: "TF401444"}},
		{"an error within alone", nil, `{"innerException":{"message":"TF401444: no"}}`, Answer{JSON: true, Message: "TF401444: no", Code: "TF401444"}},
		{"another error within", nil, `{"message":"TF400813: x","innerException":{"message":"TF401444: no"}}`, Answer{JSON: true, Message: "TF400813: x", Code: "TF400813"}},
		{"fields of other types", nil, `{"message":7,"typeKey":[],"value":null,"error":{"message":{}}}`, Answer{JSON: true}},
		{"another JSON", nil, `[1]`, Answer{JSON: true}},
		{"a header", []string{"X-TFS-ServiceError: TF400813%3A+The+user+%27a%27+is+not%0aauthorized."}, "", Answer{Empty: true, Message: "TF400813: The user 'a' is not authorized.", Code: "TF400813"}},
		{"a header that is not encoded", []string{"X-TFS-ServiceError: 100% wrong"}, "", Answer{Empty: true, Message: "100% wrong"}},
		{"the second header", []string{"X-TFS-ServiceError: ", "X-TFS-ServiceError: VS403463%3A%20no"}, "", Answer{Empty: true, Message: "VS403463: no", Code: "VS403463"}},
		{"the body before the header, which has the code", []string{"X-TFS-ServiceError: TF400813%3A+x"}, `{"message":"no"}`, Answer{JSON: true, Message: "no", Code: "TF400813"}},
		{"a page's title", []string{"Content-Type: text/html"}, bom + "<html><head><title lang=en>\r\n  VS403463: The conditional access policy &amp; more\n</title>", Answer{HTML: true, Message: "VS403463: The conditional access policy & more", Code: "VS403463"}},
		{"below a page's title", nil, "<html><title>Error</title><p>VS403463: no &lt;entry&gt;</p>", Answer{HTML: true, Message: "VS403463: no <entry>", Code: "VS403463"}},
		{"another title", nil, "<html><title>Sign In</title>", Answer{HTML: true, Message: `an HTML page titled "Sign In"`}},
		{"a page without a title", nil, "<html>", Answer{HTML: true, Message: "an HTML page"}},
		{"text", []string{"Content-Type: text/plain; charset=utf-8"}, "404 page not found\n", Answer{Message: "404 page not found"}},
		{"what says that it is JSON", []string{"Content-Type: application/json"}, "upstream error", Answer{Message: "text that is not JSON"}},
		{"half of one", []string{"Content-Type: application/json"}, `{"message":"TF4008`, Answer{Message: "JSON of another form, or cut off,"}},
		{"a challenge", []string{"WWW-Authenticate: TFS-Federated", `WWW-Authenticate: Bearer error="invalid_token", error_description="The token is \"over\""`}, "", Answer{Empty: true, Message: `The token is "over"`}},
		{"ids", []string{"ActivityId: 22222222-0000-4000-8000-000000000002", "X-VSS-E2EID: 33333333-0000-4000-8000-000000000003", "x-ms-request-id: 44444444-0000-4000-8000-000000000004", "client-request-id: 55555555-0000-4000-8000-000000000005", "X-GitHub-Request-Id: D3A0:2B6F:1A2B3C"}, "",
			Answer{Empty: true, Support: "X-VSS-E2EID 33333333-0000-4000-8000-000000000003, ActivityId 22222222-0000-4000-8000-000000000002, x-ms-request-id 44444444-0000-4000-8000-000000000004, client-request-id 55555555-0000-4000-8000-000000000005, X-GitHub-Request-Id D3A0:2B6F:1A2B3C"}},
		{"ids of other forms", []string{"ActivityId: req_01J8.x:y-Z", "X-VSS-E2EID: 1234"}, "", Answer{Empty: true, Support: "X-VSS-E2EID 1234, ActivityId req_01J8.x:y-Z"}},
		{"ids that are none", []string{"ActivityId: is the password", "X-VSS-E2EID: ##vso[x]", "x-ms-request-id: " + strings.Repeat("a", 65), "client-request-id: 123"}, "", Answer{Empty: true}},
		{"credentials as ids", []string{"ActivityId: id-abcdef0123456789", "X-VSS-E2EID: abcdef01", "x-ms-request-id: eyJhbGci.eyJpc3M.x", "client-request-id: " + strings.Repeat("a", 52)}, "", Answer{Empty: true}},
		{"credentials", []string{"X-VSS-E2EID: abcdef0123456789"}, `{"message":"Bearer abcdef0123456789, s3cr+t, s3cr%2Bt, eyJhbGci.eyJpc3M.x and ` + pat + `","typeKey":"abcdef0123456789"}`,
			Answer{JSON: true, Message: "Bearer ***, ***, ***, *** and ***"}},
		{"invisible characters", nil, `{"message":"abcdef01\u200b\u202e23456789 a\r\n::error::b"}`, Answer{JSON: true, Message: "abcdef01 23456789 a ::error::b"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			got := ReadAnswer(header(tc.headers...), []byte(tc.body), secret.New("abcdef0123456789"), secret.New("s3cr+t"))
			if got != tc.want {
				t.Errorf("read %+v\nwant %+v", got, tc.want)
			}
		})
	}
}

// A text that is shortened within a credential shows no part of the credential.
func TestNoHalfCredential(t *testing.T) {
	t.Parallel()
	const sent = "the-password-that-was-sent-and-is-long"
	for name, form := range map[string]string{
		"text": "%s", "title": "<title>VS403463: %s</title>", "another title": "<title>%s</title>", "below a title": "<p>VS403463: %s</p>", "JSON": `{"message":"%s"}`, "entities": "<title>&#116;%s</title>",
	} {
		for _, before := range []int{0, 1, 100, 180, 200, 270, 290, 390, 400, 16<<10 - 20, 64<<10 - 20} {
			text := sent
			if name == "entities" {
				text = sent[1:]
			}
			for _, filler := range []string{" ", "x"} {
				body := strings.Replace(form, "%s", strings.Repeat(filler, before)+text, 1)
				if name == "entities" {
					body = strings.Replace(form, "&#116;%s", strings.Repeat(filler, before)+"&#116;"+text, 1)
				}
				resp := &http.Response{StatusCode: 200, Header: http.Header{"Content-Type": {"text/plain"}}, Request: must(http.NewRequest("GET", "https://host.test/", nil))}
				a := ReadAnswer(resp.Header, []byte(body), secret.New(sent))
				e := NoContentError("ask", resp, []byte(body), "a thing", secret.New(sent))
				if strings.Contains(a.Message+e.Error(), "the-pass") {
					t.Errorf("%s after %d of %q: %q, %q", name, before, filler, a.Message, e)
				}
			}
		}
	}
}

func TestAnonymous(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"TF400813: Resource not available for anonymous access. Client authentication required.":      true,
		"TF400813: The user '' is not authorized to access this resource.":                            true,
		"TF400813: The user 'aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa' is not authorized":                 true,
		"TF400813: The user '00000000-0000-0000-0000-000000000000' is not authorized":                 true,
		"TF400813: The user '22222222-0000-4000-8000-000000000002' is not authorized":                 false,
		"TF400813: The user 'a' is not authorized":                                                    false,
		"TF401444: Please sign-in at least once as a\\a\\b in a web browser to enable access to the…": false,
		"": false,
	} {
		if got := Anonymous(text); got != want {
			t.Errorf("Anonymous(%q) = %t", text, got)
		}
	}
}

func TestAuthChallenges(t *testing.T) {
	t.Parallel()
	type params = map[string]string
	for _, tc := range []struct {
		name  string
		lines []string
		want  []authChallenge
	}{
		{"none", nil, nil},
		{"empty", []string{"", " , "}, nil},
		{"Azure DevOps' lines", []string{"Bearer authorization_uri=https://login.microsoftonline.com/x", `Basic realm="https://dev.azure.com/"`, "TFS-Federated"},
			[]authChallenge{{"Bearer", params{"authorization_uri": "https://login.microsoftonline.com/x"}}, {"Basic", params{"realm": "https://dev.azure.com/"}}, {"TFS-Federated", params{}}}},
		{"in one line", []string{`Bearer authorization_uri=https://h/x, Basic realm="a, b", TFS-Federated`},
			[]authChallenge{{"Bearer", params{"authorization_uri": "https://h/x"}}, {"Basic", params{"realm": "a, b"}}, {"TFS-Federated", params{}}}},
		{"spaces", []string{` Bearer  Realm = "" ,error = insufficient_claims ;claims="a==" `}, []authChallenge{{"Bearer", params{"realm": "", "error": "insufficient_claims", "claims": "a=="}}}},
		{"quoting", []string{`Bearer a="x\"y\\z", b="open`}, []authChallenge{{"Bearer", params{"a": `x"y\z`, "b": "open"}}}},
		{"not quoted, with padding", []string{"Bearer claims=a=="}, []authChallenge{{"Bearer", params{"claims": "a=="}}}},
		{"the first of two", []string{"Bearer a=1, A=2"}, []authChallenge{{"Bearer", params{"a": "1"}}}},
		{"without a scheme", []string{"a=1"}, []authChallenge{{"", params{"a": "1"}}}},
		{"garbage", []string{`=="",`, `"`, "="}, nil},
	} {
		got := authChallenges(http.Header{"Www-Authenticate": tc.lines})
		same := len(got) == len(tc.want)
		for i := 0; same && i < len(got); i++ {
			same = got[i].Scheme == tc.want[i].Scheme && maps.Equal(got[i].Params, tc.want[i].Params)
		}
		if !same {
			t.Errorf("%s: %q, want %q", tc.name, got, tc.want)
		}
	}
}

// A CAE challenge is found in any line, and its claims in any alphabet of base64.
func TestChallenge(t *testing.T) {
	t.Parallel()
	const claims = `{"a":"~~~???>>>"}`
	for name, tc := range map[string]struct {
		lines []string
		want  *Challenge
	}{
		"none":                 {[]string{"Bearer", `Bearer error="invalid_token"`}, nil},
		"standard":             {[]string{`Bearer error="insufficient_claims", claims="eyJhIjoifn5+Pz8/Pj4+In0="`}, &Challenge{claims}},
		"standard, bare":       {[]string{`Bearer error="insufficient_claims", claims="eyJhIjoifn5+Pz8/Pj4+In0"`}, &Challenge{claims}},
		"URL-safe":             {[]string{`Bearer error="insufficient_claims", claims="eyJhIjoifn5-Pz8_Pj4-In0="`}, &Challenge{claims}},
		"URL-safe, bare":       {[]string{`Bearer error=insufficient_claims,claims=eyJhIjoifn5-Pz8_Pj4-In0`}, &Challenge{claims}},
		"not quoted":           {[]string{`Bearer error=insufficient_claims, claims=eyJhIjoifn5-Pz8_Pj4-In0==`}, &Challenge{claims}},
		"in the last line":     {[]string{"TFS-Federated", `Basic realm="x"`, `Bearer claims="e30=", error="insufficient_claims"`}, &Challenge{"{}"}},
		"white space":          {[]string{`Bearer error="insufficient_claims", claims="eyAiYSIgOiAxIH0"`}, &Challenge{`{"a":1}`}},
		"no claims":            {[]string{`Bearer error="insufficient_claims"`}, &Challenge{}},
		"no base64":            {[]string{`Bearer error="insufficient_claims", claims="%%%"`}, &Challenge{}},
		"no JSON":              {[]string{`Bearer error="insufficient_claims", claims="aGVsbG8="`}, &Challenge{}},
		"null":                 {[]string{`Bearer error="insufficient_claims", claims="bnVsbA=="`}, &Challenge{}},
		"a list":               {[]string{`Bearer error="insufficient_claims", claims="W10="`}, &Challenge{}},
		"far too much":         {[]string{`Bearer error="insufficient_claims", claims="` + strings.Repeat("e30=", maxClaims) + `"`}, &Challenge{}},
		"with another error":   {[]string{`Bearer authorization_uri="https://login.windows.net/", error="invalid_token", error_description="User session has been revoked", claims="e30="`}, &Challenge{"{}"}},
		"the second of two":    {[]string{`PoP realm="", nonce="ey==", Bearer realm="", error_description="Continuous access evaluation resulted in challenge", error="insufficient_claims", claims="eyJhIjoifn5+Pz8/Pj4+In0="`}, &Challenge{claims}},
		"the one with claims":  {[]string{`Bearer error="insufficient_claims"`, `Bearer error="insufficient_claims", claims="e30="`}, &Challenge{"{}"}},
		"claims that are none": {[]string{`Bearer error="invalid_token", claims="%%"`}, nil},
		"of another scheme":    {[]string{`PoP error="insufficient_claims", claims="e30="`}, &Challenge{"{}"}},
	} {
		got := challengeOf(http.Header{"Www-Authenticate": tc.lines})
		if (got == nil) != (tc.want == nil) || got != nil && *got != *tc.want {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
	if h := (&Challenge{Claims: "{\"x\":\"a\n::error::b eyJhbGci.eyJpc3M.x\"}"}).Hint(); strings.Contains(h, "\n") || strings.Contains(h, "eyJpc3M") || !strings.Contains(h, "***") {
		t.Errorf("hint %q", h)
	}
}

// An answer without content is retried a few times, not until the deadline.
func TestRetryOfAnswersWithoutContent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		resp := &http.Response{StatusCode: 200, Header: http.Header{}, Request: must(http.NewRequest("GET", "https://host.test/", nil))}
		for until, want := range map[int]int{1: 1, Repeats - 1: Repeats - 1, Repeats: Repeats, 100: Repeats} {
			asked := 0
			err := Retry(t.Context(), discard{}, "it", func(context.Context) error {
				if asked++; asked == until {
					return nil
				}
				return NoContentError("ask", resp, nil, "a thing")
			})
			if asked != want || (err == nil) != (until <= Repeats) {
				t.Errorf("asked %d times, want %d: %v", asked, want, err)
			}
			var e *Error
			if err != nil && (!errors.As(err, &e) || !strings.HasSuffix(err.Error(), "(4 attempts)")) {
				t.Errorf("error %v", err)
			}
		}
	})
}

type discard struct{}

func (discard) Infof(string, ...any) {}

// FuzzReadAnswer checks that the texts are clean lines without the credential that was
// sent.
func FuzzReadAnswer(f *testing.F) {
	const sent = "the-secret+that/was sent"
	f.Add("text/html", "TF400813%3A+x", `Bearer error="insufficient_claims", claims="e30="`, "33333333-0000-4000-8000-000000000003", []byte("<title>VS403463: "+sent+"</title>"))
	f.Add("application/json", sent, `Bearer claims="`+sent+`", error_description=`+sent, sent, []byte(`{"message":"`+sent+`","typeKey":"`+sent+`"}`))
	f.Add("", "", "= , \"", "\u202e", []byte("\xef\xbb\xbf{\"value\":{\"Message\":\"a\\r\\n::error::b\"}}"))
	f.Fuzz(func(t *testing.T, contentType, serviceError, challenge, id string, body []byte) {
		h := http.Header{"Content-Type": {contentType}, "X-Tfs-Serviceerror": {serviceError}, "Www-Authenticate": {challenge}, "X-Vss-E2eid": {id}}
		a := ReadAnswer(h, body, secret.New(sent))
		texts := []string{a.Message, a.Code, a.TypeKey, a.Support}
		if a.Challenge != nil {
			texts = append(texts, a.Challenge.Hint())
		}
		for i, text := range texts {
			if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool {
				return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
			}) || utf8.RuneCountInString(text) > 700 {
				t.Errorf("%d: not one bounded line: %q", i, text)
			}
			if i < 4 && strings.Contains(text, sent) {
				t.Errorf("%d: the credential is in %q", i, text)
			}
		}
		if a.JSON && a.HTML || a.Empty && (a.JSON || a.HTML) {
			t.Errorf("%+v", a)
		}
	})
}
