package policy

import (
	"encoding/json"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
)

func TestParseClaims(t *testing.T) {
	t.Parallel()
	got, err := ParseClaims([]byte(`{"s":"a\u0062\/c","empty":"","n":12345678901234567890,"f":1.0,"e":-1E3,"t":true,"x":false,
		"l":["a"],"o":{"a":"b","a":"c"},"z":null,"half":"\ud800","pair":"\ud83d\ude42","S":"other","aud":["a","b"]}`))
	if err != nil {
		t.Fatal(err)
	}
	text := func(s string) Claim { return Claim{Comparable: true, Text: s} }
	want := Claims{
		"s": text("ab/c"), "empty": text(""), "n": text("12345678901234567890"), "f": text("1.0"), "e": text("-1E3"),
		"t": text("true"), "x": text("false"), "pair": text("🙂"), "S": text("other"),
		"l": {Text: "a list"}, "o": {Text: "an object"}, "z": {Text: "null"}, "aud": {Text: "a list"},
		"half": {Text: "a string that is not Unicode"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestWrongClaims(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		``:                                 "not a JSON object",
		`null`:                             "not a JSON object",
		`[]`:                               "not a JSON object",
		`"{}"`:                             "not a JSON object",
		"\ufeff{}":                         "not a JSON object",
		`{`:                                "not JSON",
		`{"a"}`:                            "not JSON",
		`{"a":}`:                           "not JSON",
		`{"a":01}`:                         "not JSON",
		`{"a":NaN}`:                        "not JSON",
		`{"a":1,}`:                         "not JSON",
		`{a:1}`:                            "not JSON",
		`{} {}`:                            "other text",
		`{}x`:                              "other text",
		"{\"a\":\"\xff\"}":                 "not UTF-8",
		`{"ref":"x","ref":"y"}`:            "the claim ref occurs twice",
		`{"ref":"x","r\u0065f":"x"}`:       "the claim ref occurs twice",
		`{"ref":{},"a":1,"ref":null}`:      "the claim ref occurs twice",
		`{"\ud800":1,"\ud801":2}`:          "occurs twice",
		strings.Repeat(`{"a":`, 20000):     "not JSON",
		`{"a":` + strings.Repeat(`[`, 1e5): "not JSON",
	} {
		if claims, err := ParseClaims([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.60s: got %v, %v, want %q", text, claims, err, want)
		}
	}
}

// What is read is what encoding/json reads, which every reader of the assertion agrees
// with as long as no name occurs twice.
func FuzzParseClaims(f *testing.F) {
	f.Add(`{"a":"b","c":1,"d":true,"e":null,"f":[1,{}],"g":{"a":1}}`)
	f.Add(`{"a":1,"\u0061":2}`)
	f.Add(`{"a":"\ud800"} `)
	f.Add(`{"a":1e999}`)
	f.Fuzz(func(t *testing.T, text string) {
		claims, err := ParseClaims([]byte(text))
		if err != nil {
			return
		}
		var all map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &all); err != nil || len(all) != len(claims) {
			t.Fatalf("%q: %v, %d of %d claims", text, err, len(claims), len(all))
		}
		for name, claim := range claims {
			var value any
			d := json.NewDecoder(strings.NewReader(string(all[name])))
			d.UseNumber()
			if err := d.Decode(&value); err != nil {
				t.Fatal(err)
			}
			want := Claim{Comparable: true}
			switch v := value.(type) {
			case string:
				want.Text = v
				if strings.ContainsRune(v, utf8.RuneError) {
					want = Claim{Text: "a string that is not Unicode"}
				}
			case json.Number:
				want.Text = v.String()
			case bool:
				want.Text = map[bool]string{true: "true", false: "false"}[v]
			case []any:
				want = Claim{Text: "a list"}
			case map[string]any:
				want = Claim{Text: "an object"}
			case nil:
				want = Claim{Text: "null"}
			}
			if claim != want {
				t.Errorf("%q: claim %q is %+v, want %+v", text, name, claim, want)
			}
		}
	})
}
