package settings

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestParseRules(t *testing.T) {
	t.Parallel()
	got, err := ParseRules("other, full-access\n other long-lived=30d\tends-within=1h30m,scope=vso.code_write run-over all-organizations")
	want := []Rule{
		{Text: "other", Name: OtherPAT},
		{Text: "full-access", Name: FullAccess},
		{Text: "long-lived=30d", Name: LongLived, Duration: 30 * day},
		{Text: "ends-within=1h30m", Name: EndsWithin, Duration: 90 * time.Minute},
		{Text: "scope=vso.code_write", Name: HasScope, Scope: "vso.code_write"},
		{Text: "run-over", Name: RunOver},
		{Text: "all-organizations", Name: AllOrganizations},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestParseRulesRefuses(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                   "none is given",
		" ,\n":                               "none is given",
		"OTHER":                              `no rule: "OTHER", the nearest is other`,
		"fullaccess":                         `no rule: "fullaccess", the nearest is full-access`,
		"run_over":                           `no rule: "run_over", the nearest is run-over`,
		"nonsense":                           `(no rule: "nonsense")`,
		"=24h":                               `(no rule: "=24h")`,
		"other=":                             "other has no argument",
		"long-lived=":                        "long-lived needs a duration above zero",
		"long-lived=30":                      "long-lived needs a duration above zero",
		"long-lived=0d":                      "long-lived needs a duration above zero",
		"ends-within=-1h":                    "ends-within needs a duration above zero",
		"scope=":                             "scope needs a PAT scope",
		"scope=code":                         "scope needs a PAT scope",
		"a b c d e f":                        `no rule: "e"`,
		strings.Repeat("a", 41):              "one that is not shown since it may be a credential",
		"other\u200b":                        `no rule: "other\u200b", the nearest is other`,
		"long-lived=1000000000d":             "long-lived needs a duration above zero",
		"other full-access nonsense=1 other": `(no rule: "nonsense=1")`,
	} {
		rules, err := ParseRules(text)
		if err == nil || !strings.Contains(err.Error(), want) || rules != nil || !strings.HasPrefix(err.Error(), ruleForms) {
			t.Errorf("%q: %v, %v; want %q", text, rules, err, want)
		}
	}
	if _, err := ParseRules("a b c d e f"); strings.Contains(err.Error(), `"f"`) {
		t.Errorf("more than five are named: %v", err)
	}
}

// What is parsed is parsed again from what the settings keep.
func FuzzParseRules(f *testing.F) {
	for _, seed := range []string{"other", "long-lived=30d,scope=vso.code", "ends-within=1h other other", "scope=", "a=b=c", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		kept, err := checkRules(text)
		rules, again := ParseRules(text)
		if (err == nil) != (again == nil) {
			t.Fatalf("%v, %v", err, again)
		}
		if err != nil {
			return
		}
		second, err := ParseRules(kept)
		if err != nil || !slices.Equal(rules, second) {
			t.Errorf("%q: %+v became %+v, %v", text, rules, second, err)
		}
		for _, r := range rules {
			if !slices.Contains(RuleNames, r.Name) || r.Duration < 0 || (r.Name == LongLived || r.Name == EndsWithin) != (r.Duration > 0) || (r.Name == HasScope) != (r.Scope != "") {
				t.Errorf("%+v", r)
			}
		}
	})
}
