package pat

import (
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
)

func FuzzParseScopes(f *testing.F) {
	for _, seed := range []string{"vso.code vso.work_full", "app_token", "vso.code,vso.code", "code", "", "vso.\x00", "VSO.CODE\u2028x", "vso.coed;", strings.Repeat("vso.a ", 50)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if len(text) > 4096 { // the checks below take their time
			return
		}
		list, err := ParseScopes(text)
		if (err == nil) != (len(list) > 0) {
			t.Fatalf("%q and %v", list, err)
		}
		if err != nil {
			oneCleanLine(t, err.Error())
			return
		}
		for i, s := range list {
			if !Covers(list, s) || strings.Count(" "+strings.Join(list, " ")+" ", " "+s+" ") != 1 {
				t.Errorf("%q of %q", s, list)
			}
			if i > 0 && !strings.Contains(text, s) {
				t.Errorf("%q is not in %q", s, text)
			}
		}
		for _, s := range Unknown(list) {
			if len(s.Nearest) > 3 {
				t.Errorf("%q", s)
			}
		}
		again, err := ParseScopes(strings.Join(list, ","))
		if err != nil || strings.Join(again, " ") != strings.Join(list, " ") {
			t.Errorf("%q becomes %q, %v", list, again, err)
		}
	})
}

// No answer causes a panic, an invalid message, or a credential in the error.
func FuzzErrorBody(f *testing.F) {
	const token = "c0ffee.p4t~" // what is made, if anything is: of no known form
	made := created(token)
	for _, s := range []struct {
		status       int
		body, header string
	}{
		{200, made, ""},
		{200, "\xef\xbb\xbf" + made, ""},
		{200, made[:len(made)-20], ""},
		{200, strings.Replace(made, `"none"`, `"`+token+`"`, 1), ""},
		{200, strings.Replace(made, `"none"`, `"invalidScope","patTokenErrorMessage":"`+token+`\u2028::error::"`, 1), ""},
		{200, strings.Replace(made, "authorizationId", "x", 1), ""},
		{200, `{"message":"` + token + `","token":"` + token + `","typeKey":"` + token + `"}`, ""},
		{200, "<html><title>" + token + "</title>" + made, ""},
		{200, `{"continuationToken":"` + token + `","patTokens":[` + patJSON(token) + `]}`, ""},
		{203, signInPage, ""},
		{404, "<html>", ""},
		{401, "", "TF400813%3A%20" + userToken + "%0A"},
		{500, `{"message":"` + token + `","patToken":` + patJSON(token) + `}`, "%zz"},
		{429, "\x00\xff\u2028" + strings.Repeat("a", 400), strings.Repeat("%", 400)},
	} {
		f.Add(s.status, s.body, s.header, "text/plain")
	}
	f.Fuzz(func(t *testing.T, status int, body, header, contentType string) {
		if status < 100 || status > 999 {
			return
		}
		c := New(Options{
			BaseURL: "https://localhost", Organization: "contoso", Token: secret.New(userToken),
			HTTP: &http.Client{Transport: transport(func(*http.Request) (*http.Response, error) {
				r := response(status, body)
				r.Header = http.Header{
					"X-Tfs-Serviceerror": {header}, "Retry-After": {header}, "Location": {header}, "Content-Type": {contentType},
				}
				return r, nil
			})},
		})
		check := func(err error, partial Token) {
			if err == nil {
				return
			}
			e := asError(t, err)
			oneCleanLine(t, e.Message)
			oneCleanLine(t, e.Code)
			oneCleanLine(t, e.Error())
			oneCleanLine(t, e.Hint())
			if n := utf8.RuneCountInString(e.Message); n > maxMessage {
				t.Errorf("a message of %d runes", n)
			}
			if strings.Contains(e.Error(), userToken) {
				t.Errorf("the user's token in %v", e)
			}
			// A short token may be part of any text.
			if s := partial.Secret.Reveal(); len(s) > 8 && (strings.Contains(e.Message, s) || strings.Contains(e.Code, s)) {
				t.Errorf("the PAT in %v", e)
			}
			if e.Retryable() && e.Unreadable && !e.repeatable() {
				t.Errorf("passing, but nothing to read: %v", e)
			}
			var inner *Error
			if e.RetryAfter < 0 || errors.As(e.Err, &inner) && inner == e {
				t.Errorf("%+v", e)
			}
		}
		token, err := c.Create(t.Context(), Create{})
		check(err, token)
		if err == nil && (!isID(token.ID) || !token.Secret.FitsHeader() || token.ValidTo.IsZero()) {
			t.Errorf("created %+v", token)
		}
		if e := new(Error); errors.As(err, &e) && e.Settled() && (token.ID != "" || !token.Secret.IsZero()) {
			t.Errorf("settled, but %+v", token)
		}
		token, err = c.Update(t.Context(), someID, Update{})
		check(err, token)
		gone, err := c.Revoke(t.Context(), someID)
		check(err, Token{})
		if err == nil && !gone && (status != 200 && status != 204 || len(httpclient.Bare([]byte(body))) > 0 && !json.Valid(httpclient.Bare([]byte(body)))) {
			t.Errorf("revoked by %d %q", status, body)
		}
		failed := 0
		for token, err := range c.List(t.Context(), Filter{}) {
			check(err, Token{})
			if err != nil {
				if failed++; failed == 3 {
					break // the same page is asked for ten thousand times
				}
			}
			if err == nil && status/100 != 2 {
				t.Errorf("listed %+v by %d", token, status)
			}
		}
	})
}

func oneCleanLine(t *testing.T, text string) {
	t.Helper()
	if !utf8.ValidString(text) || strings.ContainsFunc(text, func(r rune) bool {
		return unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp)
	}) {
		t.Errorf("not one clean line: %q", text)
	}
}
