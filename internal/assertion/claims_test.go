package assertion

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"azdo-pat/internal/secret"
)

// jwt returns a token with a header and a payload.
func jwt(header, payload string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(header)) + "." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".c2ln"
}

func TestParse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		payload string
		want    Claims
	}{
		"GitHub's": {`{"iss":"https://token.actions.githubusercontent.com","sub":"repo:octo/tools:ref:refs/heads/main","aud":"api://AzureADTokenExchange","job_workflow_ref":"octo/tools/.github/workflows/x.yml@refs/heads/main","repository_id":"2","repository_owner_id":"1"}`,
			Claims{"https://token.actions.githubusercontent.com", "repo:octo/tools:ref:refs/heads/main", usual, "octo/tools/.github/workflows/x.yml@refs/heads/main", "2", "1"}},
		"Azure Pipelines'": {`{"iss":"https://login.microsoftonline.com/t/v2.0","sub":"/eid1/c/pub/t/x","aud":"fb60f99c"}`,
			Claims{Issuer: "https://login.microsoftonline.com/t/v2.0", Subject: "/eid1/c/pub/t/x", Audience: "fb60f99c"}},
		"several audiences": {`{"sub":"s","aud":["a","b",7,null,{"c":"d"}]}`, Claims{Subject: "s", Audience: "a, b"}},
		"no audience":       {`{"aud":[]}`, Claims{}},
		"other types":       {`{"iss":7,"sub":{"a":"b"},"aud":true,"job_workflow_ref":null,"repository_id":2}`, Claims{}},
		"nothing":           {`{}`, Claims{}},
		"null":              {`null`, Claims{}},
		"the last one wins": {`{"sub":"a","sub":"b"}`, Claims{Subject: "b"}},
		"left as it is":     {`{"sub":" a\r\n::error::b  \u202e\u0000c\ud83d\ude00"}`, Claims{Subject: " a\r\n::error::b  \u202e\x00c😀"}},
		"not cut":           {`{"sub":"` + strings.Repeat("é", 1000) + `"}`, Claims{Subject: strings.Repeat("é", 1000)}},
		"other claims stay": {`{"sub":"a","password":"hunter2","iat":1e400000000}`, Claims{Subject: "a"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(secret.New(jwt(`{"alg":"RS256"}`, tc.payload)))
			if err != nil || got != tc.want {
				t.Errorf("%+v, %v, want %+v", got, err, tc.want)
			}
		})
	}
}

func TestNotJWT(t *testing.T) {
	t.Parallel()
	good := jwt(`{"alg":"RS256"}`, `{"sub":"a"}`)
	header, rest, _ := strings.Cut(good, ".")
	payload, _, _ := strings.Cut(rest, ".")
	for name, text := range map[string]string{
		"nothing":               "",
		"a word":                "hunter2",
		"dots":                  "..",
		"two parts":             header + "." + payload,
		"no signature":          header + "." + payload + ".",
		"no payload":            header + "..c2ln",
		"no header":             "." + payload + ".c2ln",
		"four parts":            good + ".c2ln",
		"encrypted, five parts": header + ".a.b.c.d",
		"header no JSON":        jwt("alg", `{}`),
		"payload no JSON":       jwt(`{}`, "sub=a"),
		"payload a list":        jwt(`{}`, `["a"]`),
		"payload a word":        jwt(`{}`, `"a"`),
		"header a list":         jwt(`[]`, `{}`),
		"half a payload":        jwt(`{}`, `{"sub":"a`),
		"two payloads":          jwt(`{}`, `{}{}`),
		"not base64":            "e!J." + payload + ".c2ln",
		"standard base64":       header + "." + base64.RawStdEncoding.EncodeToString([]byte(`{"sub":"ÿÿÿ~~~???"}`)) + ".c2ln",
		"too long":              good + strings.Repeat("x", maxLength),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := Parse(secret.New(text)); !errors.Is(err, ErrNotJWT) || got != (Claims{}) || err.Error() != ErrNotJWT.Error() {
				t.Errorf("%+v, %v, want %v", got, err, ErrNotJWT)
			}
		})
	}
	if _, err := Parse(secret.Value{}); !errors.Is(err, ErrNotJWT) {
		t.Errorf("no secret: %v", err)
	}
}

// Padding is not allowed in a JWT, but is accepted for reading the claims.
func TestParsePadded(t *testing.T) {
	t.Parallel()
	text := base64.URLEncoding.EncodeToString([]byte(`{"alg":"x"}`)) + "." + base64.URLEncoding.EncodeToString([]byte(`{"sub":"a b"}`)) + ".c2ln"
	if got, err := Parse(secret.New(text)); !strings.Contains(text, "=") || err != nil || got.Subject != "a b" {
		t.Errorf("%+v, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(someJWT)
	f.Add(jwt(`{}`, `{"iss":"a\nb","sub":["x",1],"aud":["\u2028","\u0000"]}`))
	f.Add(jwt(`null`, `null`))
	f.Add("..")
	f.Add(jwt(`{"a":`, `{}`) + strings.Repeat("=", 9))
	f.Fuzz(func(t *testing.T, text string) {
		// As a token, and as the payload of one.
		for _, token := range []string{text, jwt(`{}`, text), jwt(text, `{}`)} {
			c, err := Parse(secret.New(token))
			if err != nil && (!errors.Is(err, ErrNotJWT) || c != (Claims{})) {
				t.Fatalf("%+v, %v", c, err)
			}
		}
		if v, err := newAssertion(text); err == nil && strings.ContainsFunc(v.Reveal(), func(r rune) bool { return r <= ' ' || r > '~' }) {
			t.Errorf("%q is usable", v.Reveal())
		}
	})
}
