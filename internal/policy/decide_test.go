package policy

import (
	"strings"
	"testing"
	"time"
)

// claims of a job on main, as GitHub writes them: numbers are strings.
const job = `{"repository":"contoso/app","repository_owner_id":"12345","ref":"refs/heads/main","environment":"",
	"run_attempt":2,"big":12345678901234567890,"protected":true,"aud":["a"],"context":{"a":"b"},"none":null}`

func compile(t *testing.T, text string) *Policy {
	t.Helper()
	p, err := Compile([]byte(text))
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, text)
	}
	return p
}

func parse(t *testing.T, text string) Claims {
	t.Helper()
	claims, err := ParseClaims([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

func TestDecideClaims(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		claims string // of the rule
		want   bool
	}{
		{`{repository: contoso/app}`, true},
		{`{repository: "*"}`, true},
		{`{repository: Contoso/app}`, false},
		{`{Repository: contoso/app}`, false},
		{`{repository: contoso/*, ref: refs/heads/main}`, true},
		{`{repository: contoso/*, ref: refs/heads/release}`, false},
		{`{ref: [refs/heads/release, refs/heads/main]}`, true},
		{`{ref: [refs/heads/release, refs/tags/*]}`, false},
		{`{repository_owner_id: "12345"}`, true},
		{`{repository_owner_id: 12345}`, true}, // by its text
		{`{repository_owner_id: 12345.0}`, false},
		{`{repository_owner_id: 0x3039}`, false},
		{`{repository_owner_id: 12_345}`, false},
		{`{run_attempt: 2}`, true},
		{`{run_attempt: "2"}`, true},
		{`{run_attempt: 02}`, false},
		{`{big: 12345678901234567890}`, true},
		{`{big: 12345678901234567891}`, false},
		{`{big: 1.2345678901234567e19}`, false},
		{`{protected: true}`, true},
		{`{protected: "true"}`, true},
		{`{protected: True}`, false},
		{`{protected: yes}`, false},
		{`{environment: ""}`, true},
		{`{environment: "?*"}`, false},
		{`{environment: "*"}`, true},
		{`{absent: "*"}`, false},
		{`{absent: ""}`, false},
		{`{aud: "*"}`, false},
		{`{aud: a}`, false},
		{`{context: "*"}`, false},
		{`{none: "*"}`, false},
		{`{none: "null"}`, false},
		{`{none: ""}`, false},
		{`{repository: "c\u043entoso/app"}`, false},
	} {
		p := compile(t, "version: 1\nrules:\n- claims: "+test.claims+"\n  scopes: [vso.code]\n")
		d := p.Decide(Request{Organization: "contoso", TokenType: PAT, Scopes: []string{"vso.code"}, Lifetime: time.Hour}, parse(t, job))
		if d.Allowed != test.want {
			t.Errorf("claims %s: %t\n%s", test.claims, d.Allowed, d.Table())
		}
	}
}

func TestDecideRequest(t *testing.T) {
	t.Parallel()
	const rule = "- claims: {repository: contoso/app}\n"
	const full = rule + "  organizations: [contoso, https://dev.azure.com/Fabrikam, https://adventure.visualstudio.com]\n  scopes: [vso.code_write, vso.packaging]\n  max-lifetime: 1h\n"
	pat := func(organization string, lifetime time.Duration, scopes ...string) Request {
		return Request{Organization: organization, TokenType: PAT, Scopes: scopes, Lifetime: lifetime}
	}
	entra := Request{Organization: "contoso", TokenType: Entra}
	for name, test := range map[string]struct {
		rules   string
		request Request
		want    bool
	}{
		"all of it":                   {full, pat("contoso", time.Hour, "vso.code_write", "vso.packaging"), true},
		"less of it":                  {full, pat("contoso", 5*time.Minute, "vso.packaging"), true},
		"an included scope":           {full, pat("contoso", time.Hour, "vso.code"), true},
		"included in an included one": {full, pat("contoso", time.Hour, "vso.profile"), true},
		"a wider scope":               {full, pat("contoso", time.Hour, "vso.code_manage"), false},
		"one scope too many":          {full, pat("contoso", time.Hour, "vso.code", "vso.build"), false},
		"full access":                 {full, pat("contoso", time.Hour, "app_token"), false},
		"full access includes all":    {rule + "  scopes: [app_token]\n", pat("contoso", time.Hour, "vso.code", "vso.new"), true},
		"full access itself":          {rule + "  scopes: [app_token]\n", pat("contoso", time.Hour, "app_token"), true},
		"an unknown scope":            {rule + "  scopes: [vso.new]\n", pat("contoso", time.Hour, "vso.new"), true},
		"another unknown scope":       {rule + "  scopes: [vso.new]\n", pat("contoso", time.Hour, "vso.newer"), false},
		"no scope":                    {full, pat("contoso", time.Hour), false},
		"a second longer":             {full, pat("contoso", time.Hour+time.Second, "vso.code"), false},
		"another organization":        {full, pat("contoso2", time.Hour, "vso.code"), false},
		"organization by URL":         {full, pat("fabrikam", time.Hour, "vso.code"), true},
		"organization by old URL":     {full, pat("adventure", time.Hour, "vso.code"), true},
		"organization in other case":  {full, pat("CONTOSO", time.Hour, "vso.code"), true},
		"any organization":            {rule + "  scopes: [vso.code]\n", pat("other", 24*time.Hour, "vso.code"), true},
		"a day without max-lifetime":  {rule + "  scopes: [vso.code]\n", pat("other", 24*time.Hour+time.Second, "vso.code"), false},
		"days":                        {rule + "  scopes: [vso.code]\n  max-lifetime: 30d\n", pat("other", 30*24*time.Hour, "vso.code"), true},
		"entra is not the default":    {full, entra, false},
		"entra alone":                 {rule + "  token-types: [entra]\n", entra, true},
		"entra, not pat":              {rule + "  token-types: [entra]\n", pat("contoso", time.Hour, "vso.code"), false},
		"entra, scopes not compared":  {full + "  token-types: [pat, entra]\n", entra, true},
		"entra, other organization":   {full + "  token-types: [entra]\n", Request{Organization: "other", TokenType: Entra}, false},
		"two halves: scopes":          {rule + "  scopes: [vso.code]\n" + rule + "  scopes: [vso.build]\n", pat("contoso", time.Hour, "vso.code", "vso.build"), false},
		"two halves: lifetime":        {rule + "  scopes: [vso.code]\n  max-lifetime: 5m\n" + rule + "  scopes: [vso.build]\n", pat("contoso", time.Hour, "vso.code"), false},
		"two halves: claims":          {rule + "  scopes: [vso.build]\n- claims: {ref: other}\n  scopes: [vso.code]\n", pat("contoso", time.Hour, "vso.code"), false},
		"the second rule":             {"- claims: {ref: other}\n  scopes: [vso.code]\n" + rule + "  scopes: [vso.code]\n", pat("contoso", time.Hour, "vso.code"), true},
	} {
		p := compile(t, "version: 1\nrules:\n"+test.rules)
		if d := p.Decide(test.request, parse(t, job)); d.Allowed != test.want {
			t.Errorf("%s: %t\n%s", name, d.Allowed, d.Table())
		}
	}
}

func TestNearestRule(t *testing.T) {
	t.Parallel()
	p := compile(t, `version: 1
rules:
- {name: far, claims: {repository: x, ref: x}, organizations: [x], scopes: [vso.build], max-lifetime: 5m, token-types: [entra]}
- {name: first of the nearest, claims: {repository: contoso/*, ref: refs/tags/*, environment: production, absent: y}, organizations: [contoso], scopes: [vso.code], max-lifetime: 30m}
- {name: as near, claims: {aud: "*", ref: refs/tags/*, absent: x}, scopes: [vso.code], max-lifetime: 30m, organizations: [contoso]}
`)
	d := p.Decide(Request{Organization: "contoso", TokenType: PAT, Scopes: []string{"vso.code", "vso.build"}, Lifetime: 90 * time.Minute}, parse(t, job))
	if d.Allowed || d.Rule.Number != 2 {
		t.Fatalf("nearest is %v", d.Rule)
	}
	if want := "none of the 3 rules allows all of it; the nearest is rule 2 (first of the nearest)"; d.Explain() != want {
		t.Errorf("got %q", d.Explain())
	}
	want := strings.TrimPrefix(`
                     asked or found                           allowed
  organization       contoso                                  contoso      yes
  token-type         pat                                      pat          yes
  scopes             vso.code vso.build (too much: vso.build)  vso.code     NO
  lifetime           1h30m                                    up to 30m    NO
  claim repository   contoso/app                              contoso/*    yes
  claim ref          refs/heads/main                          refs/tags/*  NO
  claim environment  ""                                       production   NO
  claim absent       (absent)                                 y            NO`, "\n")
	if got := d.Table(); strings.Join(strings.Fields(got), " ") != strings.Join(strings.Fields(want), " ") {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Claims are text of the caller: each stays one line of bounded length, and what looks
// like another letter is shown as what it is.
func TestHostileClaimsInTable(t *testing.T) {
	t.Parallel()
	p := compile(t, "version: 1\nrules:\n- claims: {repository: contoso/app, long: x, ref: x, list: x}\n  scopes: [vso.code]\n")
	claims := parse(t, `{"repository":"c\u043entoso/app","long":"`+strings.Repeat("a", 5000)+`","ref":"a\n::error::b ##[error]\u001b[31m\u202e","list":[]}`)
	d := p.Decide(Request{Organization: "contoso", TokenType: PAT, Scopes: []string{"vso.code"}, Lifetime: time.Hour}, claims)
	table := d.Table()
	if lines := strings.Count(table, "\n") + 1; lines != 1+len(d.Criteria) {
		t.Errorf("%d lines:\n%s", lines, table)
	}
	for _, want := range []string{`"c\u043entoso/app"`, "(5000 characters, not shown)", `\n::error::b #\u0023[error]\x1b[31m\u202e`, "(a list, which never matches)"} {
		if !strings.Contains(table, want) {
			t.Errorf("%q is missing in\n%s", want, table)
		}
	}
}
