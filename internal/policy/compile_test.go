package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"
)

const example = `# yaml-language-server: $schema=./policy.schema.json
version: 1
mode: enforce            # or audit
rules:
- name: release feeds
  claims:
    repository_owner_id: "12345"
    repository: contoso/*
    ref: refs/heads/main
    job_workflow_ref: contoso/platform/.github/workflows/publish.yml@*
  organizations: [contoso]
  scopes: [vso.packaging_write]
  max-lifetime: 1h
  token-types: [pat]
`

func TestCompile(t *testing.T) {
	t.Parallel()
	want := &Policy{Mode: Enforce, Rules: []Rule{{
		Number: 1, Name: "release feeds",
		Claims: []ClaimRule{
			{"repository_owner_id", []string{"12345"}}, {"repository", []string{"contoso/*"}}, {"ref", []string{"refs/heads/main"}},
			{"job_workflow_ref", []string{"contoso/platform/.github/workflows/publish.yml@*"}},
		},
		Organizations: []string{"contoso"}, Scopes: []string{"vso.packaging_write"}, MaxLifetime: time.Hour, TokenTypes: []string{PAT},
	}}}
	for name, text := range map[string]string{
		"as it is":          example,
		"CRLF":              strings.ReplaceAll(example, "\n", "\r\n"),
		"a byte order mark": "\ufeff" + example,
		"JSON":              `{"version":1,"rules":[{"name":"release feeds","claims":{"repository_owner_id":"12345","repository":"contoso/*","ref":"refs/heads/main","job_workflow_ref":"contoso/platform/.github/workflows/publish.yml@*"},"organizations":["https://dev.azure.com/contoso/"],"scopes":["vso.packaging_write"],"max-lifetime":"60m"}]}`,
		"document markers":  "---\n" + example + "...\n",
	} {
		p, err := Compile([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(want, p); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Patterns are compared by the text that stands in the file, not by what YAML makes of it.
func TestPatternsAsWritten(t *testing.T) {
	t.Parallel()
	p := compile(t, "version: 1\nrules:\n- claims: {a: [yes, No, 012, 0x1F, 1_000, 1e3, 1.50, true, 2024-01-02, .nan, 12:30, '', \"\\u0430\"]}\n  scopes: [vso.code]\n")
	want := []string{"yes", "No", "012", "0x1F", "1_000", "1e3", "1.50", "true", "2024-01-02", ".nan", "12:30", "", "\u0430"}
	if diff := cmp.Diff(want, p.Rules[0].Claims[0].Patterns); diff != "" {
		t.Error(diff)
	}
}

func TestUnknownScopeWarns(t *testing.T) {
	t.Parallel()
	p := compile(t, "version: 1\nrules:\n- claims: {a: b}\n  scopes: [vso.codee]\n")
	if len(p.Warnings) != 1 || !strings.HasPrefix(p.Warnings[0], "line 4, column 12: vso.codee is not a scope that azdo-pat knows; did you mean vso.code") {
		t.Errorf("%q", p.Warnings)
	}
}

func TestWrongPolicies(t *testing.T) {
	t.Parallel()
	const head = "version: 1\nrules:\n"
	const rule = head + "- claims:\n    repository: contoso/*\n  scopes: [vso.code]\n"
	const nothing = "nothing but white space and comments"
	for name, test := range map[string]struct {
		text string
		want []string
	}{
		"empty":               {"", []string{nothing}},
		"white space":         {" \n\t\n \n", []string{nothing}},
		"comments":            {"# version: 1\n  # rules\n", []string{nothing}},
		"a document marker":   {"---\n# nothing\n", []string{nothing}},
		"null":                {"null\n", []string{"line 1, column 1: found nothing"}},
		"a text":              {"version 1", []string{`line 1, column 1: found "version 1"; allowed: a mapping with the keys version, mode, rules`, "\n  | version 1\n  | ^"}},
		"a credential":        {"password: hunter2X9aBcDeFgHiJk", []string{"unknown key", "the line is not shown, since it may hold a credential"}},
		"a token":             {"eyJhbGciOiJSUzI1NiIsImtpZCI6IjEifQ.eyJzdWIiOiJ4In0.c2ln", []string{"a text of 55 characters", "may hold a credential"}},
		"two documents":       {rule + "---\n" + rule, []string{"line 6, column 1: found a second document"}},
		"after the end":       {rule + "...\nversion: 1\n", []string{"line 7, column 1: not YAML"}},
		"no version":          {"rules:\n- claims: {a: b}\n  scopes: [vso.code]\n", []string{"line 1, column 1: the key version is missing"}},
		"version 2":           {strings.Replace(rule, "1", "2", 1), []string{`line 1, column 10: found "2"`, "allowed: the number 1"}},
		"version as text":     {strings.Replace(rule, "1", "'1'", 1), []string{"line 1, column 10", "the number 1, without quotes"}},
		"version in octal":    {strings.Replace(rule, "1", "01", 1), []string{"line 1, column 10"}},
		"mode":                {"mode: Enforce\n" + rule, []string{`line 1, column 7: found "Enforce"; allowed: enforce or audit; did you mean enforce?`, "\n  | mode: Enforce\n  |       ^"}},
		"mode without value":  {"mode:\n" + rule, []string{"line 1, column 6: found nothing; allowed: enforce or audit"}},
		"mode as list":        {"mode: [audit]\n" + rule, []string{"line 1, column 7: found a list"}},
		"no rules":            {"version: 1\n", []string{"the key rules is missing"}},
		"empty rules":         {"version: 1\nrules: []\n", []string{"line 2, column 8: found an empty list; allowed: a list of at least one rule"}},
		"rules without value": {"version: 1\nrules:\n", []string{"line 2, column 7: found nothing"}},
		"rules as mapping":    {"version: 1\nrules: {a: b}\n", []string{"line 2, column 8: found a mapping"}},
		"a rule as text":      {head + "- contoso\n", []string{`line 3, column 3: found "contoso"; allowed: a rule`}},
		"misspelt key":        {rule + "  organisations: [contoso]\n", []string{`line 6, column 3: unknown key "organisations"; allowed: name, claims, organizations, scopes, max-lifetime, token-types; did you mean organizations?`}},
		"key in other case":   {rule + "  Name: x\n", []string{`unknown key "Name"`, "did you mean name?"}},
		"key twice":           {rule + "  scopes: [vso.build]\n", []string{`line 6, column 3: found the key "scopes" a second time; it is in line 5 too`}},
		"claim twice":         {head + "- claims: {a: b, a: c}\n  scopes: [vso.code]\n", []string{`line 3, column 18: found the key "a" a second time`}},
		"version twice":       {"version: 1\n" + rule, []string{"line 2, column 1", "a second time"}},
		"no claims":           {head + "- scopes: [vso.code]\n", []string{"line 3, column 3: the key claims is missing"}},
		"empty claims":        {head + "- claims: {}\n  scopes: [vso.code]\n", []string{"line 3, column 11: found no claim"}},
		"claims as list":      {head + "- claims: [repository]\n  scopes: [vso.code]\n", []string{"line 3, column 11: found a list"}},
		"claim without value": {head + "- claims: {repository: }\n  scopes: [vso.code]\n", []string{"found nothing; allowed: a pattern"}},
		"claim null":          {head + "- claims: {repository: ~}\n  scopes: [vso.code]\n", []string{"line 3, column 24: found nothing"}},
		"claim as mapping":    {head + "- claims: {repository: {a: b}}\n  scopes: [vso.code]\n", []string{"line 3, column 24: found a mapping"}},
		"claim as empty list": {head + "- claims: {repository: []}\n  scopes: [vso.code]\n", []string{"line 3, column 24: found an empty list"}},
		"list in a list":      {head + "- claims: {repository: [[a]]}\n  scopes: [vso.code]\n", []string{"line 3, column 25: found a list"}},
		"claim without name":  {head + "- claims: {'': a}\n  scopes: [vso.code]\n", []string{"a claim without a name"}},
		"invisible pattern":   {head + "- claims: {a: \"x\\u200b\"}\n  scopes: [vso.code]\n", []string{"line 3, column 15: found a text with the character U+200B"}},
		"line break in one":   {head + "- claims:\n    a: |\n      x\n  scopes: [vso.code]\n", []string{"line 4, column 8: found a text with the character U+000A"}},
		"no scopes":           {head + "- claims: {a: b}\n", []string{"line 3, column 3: the key scopes is missing"}},
		"scopes as text":      {head + "- claims: {a: b}\n  scopes: vso.code vso.build\n", []string{"line 4, column 11", "a list of PAT scopes"}},
		"two scopes in one":   {head + "- claims: {a: b}\n  scopes: [vso.code vso.build]\n", []string{`line 4, column 12: found "vso.code vso.build"; allowed: one PAT scope`}},
		"scope in upper case": {head + "- claims: {a: b}\n  scopes: [vso.Code]\n", []string{"line 4, column 12"}},
		"scope with a star":   {head + "- claims: {a: b}\n  scopes: [vso.*]\n", []string{"line 4, column 12"}},
		"organization":        {rule + "  organizations: [contoso, https://contoso.example]\n", []string{"line 6, column 28", "https://contoso.visualstudio.com"}},
		"organization number": {rule + "  organizations: [123]\n", []string{`line 6, column 19: found "123" without quotes`}},
		"organization star":   {rule + "  organizations: ['*']\n", []string{"line 6, column 19"}},
		"no organizations":    {rule + "  organizations: []\n", []string{"line 6, column 18: found an empty list"}},
		"lifetime too short":  {rule + "  max-lifetime: 4m\n", []string{`line 6, column 17: found "4m"; allowed: a duration from 5m to 365d`}},
		"lifetime too long":   {rule + "  max-lifetime: 366d\n", []string{"line 6, column 17"}},
		"lifetime in seconds": {rule + "  max-lifetime: 3600\n", []string{"line 6, column 17"}},
		"lifetime as list":    {rule + "  max-lifetime: [1h]\n", []string{"line 6, column 17: found a list"}},
		"half days":           {rule + "  max-lifetime: 1.5d\n", []string{"line 6, column 17"}},
		"token type":          {rule + "  token-types: [PAT]\n", []string{"line 6, column 17", "allowed: pat or entra; did you mean pat?"}},
		"no token types":      {rule + "  token-types: []\n", []string{"line 6, column 16: found an empty list"}},
		"name as number":      {rule + "  name: 12\n", []string{"line 6, column 9"}},
		"an alias":            {head + "- claims: &c {a: b}\n  scopes: [vso.code]\n- claims: *c\n  scopes: [vso.build]\n", []string{"line 3, column 11: found an anchor", "line 5, column 11: found an alias"}},
		"a star alone":        {head + "- claims: {repository: *}\n  scopes: [vso.code]\n", []string{"line 3, column 24: not YAML", "\n  |                        ^", "A text that starts with * needs quotes"}},
		"a star first":        {head + "- claims:\n    repository: */app\n  scopes: [vso.code]\n", []string{"line 4, column 17: not YAML", "A text that starts with * needs quotes"}},
		"a merge key":         {head + "- claims:\n    <<: {a: b}\n  scopes: [vso.code]\n", []string{"line 4, column 5: found a merge key"}},
		"a tag":               {head + "- claims: {a: !!binary aGk=}\n  scopes: [vso.code]\n", []string{"line 3, column 15: found a tag"}},
		"a tag of text":       {head + "- claims: {a: !!str 12}\n  scopes: [vso.code]\n", []string{"line 3, column 15: found a tag"}},
		"a tag of one's own":  {head + "- claims: {a: !x y}\n  scopes: [vso.code]\n", []string{"found a tag"}},
		"a list as key":       {head + "- claims: {[a]: b}\n  scopes: [vso.code]\n", []string{"found a list as a key"}},
		"a tab":               {"version: 1\nrules:\n\t- claims: {a: b}\n", []string{"line 3, column 1: not YAML: found a tab; indent with spaces"}},
		"not closed":          {rule + "  organizations: [contoso\n  name: x\n", []string{"line 6, column 18: not YAML", "\n  |   organizations: [contoso\n  |                  ^"}},
		"quote not closed":    {rule + "  name: \"x\n", []string{"line 6, column 9: not YAML"}},
		"colon in a value":    {rule + "  name: a: b\n", []string{"line 6, column 10: not YAML"}},
		"indentation":         {rule + "    name: x\n", []string{"line 6, column 5: not YAML"}},
		"no colon":            {rule + "  name x\n  max-lifetime: 1h\n", []string{"line 6, column 3: not YAML"}},
		"hidden line break":   {rule + "# note\u2028  max-lifetime: 24h\n", []string{"line 6, column 7: found the character U+2028"}},
		"old line break":      {"version: 1\rrules: []\n", []string{"line 1, column 11: found the character U+000D"}},
		"next line":           {rule + "# x\u0085", []string{"line 6, column 4: found the character U+0085"}},
		"other direction":     {rule + "  name: \"x\u202e\"\n", []string{"line 6, column 11: found the character U+202E"}},
		"mark in the middle":  {"version: 1\n\ufeffrules: []\n", []string{"line 2, column 1: found the character U+FEFF"}},
		"a null byte":         {"version: 1\x00\n", []string{"line 1, column 11: found the character U+0000"}},
		"UTF-16":              {"\xff\xfev\x00", []string{"line 1, column 1: found bytes that are not UTF-8"}},
		"Latin-1":             {rule + "  name: caf\xe9\n", []string{"line 6, column 12: found bytes that are not UTF-8"}},
		"too large":           {rule + "# " + strings.Repeat("x", MaxSize), []string{"more than 64 KiB"}},
		"too many rules":      {head + strings.Repeat("- {claims: {a: b}, scopes: [vso.code]}\n", 257), []string{"found 257 rules; allowed: at most 256"}},
		"too many claims":     {head + "- claims:\n" + numbered("    c%d: x\n", 33) + "  scopes: [vso.code]\n", []string{"found 33 claims; allowed: at most 32"}},
		"too many patterns":   {head + "- claims:\n    a:\n" + strings.Repeat("    - x\n", 257) + "  scopes: [vso.code]\n", []string{"found a list of 257; allowed: at most 256"}},
		"a long pattern":      {head + "- claims: {a: " + strings.Repeat("x", 513) + "}\n  scopes: [vso.code]\n", []string{"found a text of 513 characters; allowed: at most 512", "the line is long"}},
		"deep":                {head + "- claims: {a: " + strings.Repeat("[", 20) + strings.Repeat("]", 20) + "}\n", []string{"found more than 16 nested"}},
		"very deep":           {strings.Repeat("[", 60000), []string{"line 1, column 1: not YAML"}},
		"very deep by lines":  {strings.Repeat("-\n", 300) + strings.Repeat("- ", 20000), []string{"not YAML: exceeded max depth"}},
		"many problems":       {head + numbered("- {a%d: b, claims: {c: d}, scopes: [vso.code]}\n", 12), []string{`unknown key "a0"`, `unknown key "a9"`, "\nand more"}},
	} {
		p, err := Compile([]byte(test.text))
		if err == nil {
			t.Errorf("%s: compiled to %+v", name, p)
			continue
		}
		for _, want := range test.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %q is missing in\n%v", name, want, err)
			}
		}
	}
}

func numbered(format string, n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, format, i)
	}
	return b.String()
}

// A rule that names no organization and no lifetime allows any organization and a day.
func TestDescribe(t *testing.T) {
	t.Parallel()
	p := compile(t, example+"- claims: {ref: '*', environment: x}\n  scopes: [vso.code, vso.build]\n- claims: {a: b}\n  token-types: [entra]\n")
	want := `mode enforce, 3 rules
rule 1 (release feeds): organization contoso; token type pat; scopes vso.packaging_write; lifetime up to 1h; if these claims match: repository_owner_id, repository, ref, job_workflow_ref
rule 2: any organization; token type pat; scopes vso.code vso.build; lifetime up to 24h; if these claims match: ref, environment
rule 3: any organization; token type entra; if these claims match: a
`
	if diff := cmp.Diff(want, p.Describe()); diff != "" {
		t.Error(diff)
	}
}

// Whatever the text, compiling ends without a panic, and an error is text for a log with
// places that exist.
func FuzzCompile(f *testing.F) {
	f.Add(example)
	f.Add("version: 1\nrules:\n- claims: &a {b: *a}\n")
	f.Add("a: [\n? b\n: - c\n!!binary x: |\n  y\n%TAG ! x\n---\n...\n")
	f.Add("rules:\n\t- \"\\u0430\n")
	f.Add("\ufeff# x\u2028y: z")
	f.Add("<<: {a: ~}\n'': 0x1\n")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Compile([]byte(text))
		if err == nil {
			if len(p.Rules) == 0 || p.Mode != Enforce && p.Mode != Audit {
				t.Fatalf("%q compiled to %+v", text, p)
			}
			for _, r := range p.Rules {
				if len(r.Claims) == 0 || len(r.TokenTypes) == 0 || r.MaxLifetime <= 0 || len(r.Scopes) == 0 && !r.onlyEntra() {
					t.Fatalf("%q: the rule %+v", text, r)
				}
			}
			p.Decide(Request{Organization: "contoso", TokenType: PAT}, Claims{})
			_ = p.Describe()
			return
		}
		problems, ok := err.(*Problems)
		if !ok || len(problems.List) == 0 || len(problems.List) > maxProblems {
			t.Fatalf("%q: %v", text, err)
		}
		lines := strings.Split(strings.ReplaceAll(strings.TrimPrefix(text, "\ufeff"), "\r\n", "\n"), "\n")
		for _, one := range problems.List {
			if one.Line < 0 || one.Line > len(lines)+1 || one.Line > 0 && one.Column < 1 {
				t.Errorf("%q: line %d, column %d", text, one.Line, one.Column)
			}
		}
		if strings.ContainsFunc(err.Error(), func(r rune) bool { return r != '\n' && unicode.IsControl(r) }) {
			t.Errorf("%q: the error %q", text, err)
		}
	})
}
