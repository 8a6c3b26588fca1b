package displayname_test

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"unicode/utf8"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/fakes/githubrunner"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const key = " 0123456789abcdef"
	long := strings.Repeat("r", 82) // octo/ and this leave 15 characters of SOURCE
	for text, want := range map[string]displayname.Name{
		"azdo-pat octo/tools run 4711.1 build" + key:              {Source: "octo/tools run 4711.1 build", Repository: "octo/tools", RunID: "4711", Attempt: "1"},
		"azdo-pat octo/tools run 4711.12" + key:                   {Source: "octo/tools run 4711.12", Repository: "octo/tools", RunID: "4711", Attempt: "12"},
		"azdo-pat Octo-X_y/.github run 17452093817.3 a b c" + key: {Source: "Octo-X_y/.github run 17452093817.3 a b c", Repository: "Octo-X_y/.github", RunID: "17452093817", Attempt: "3"},
		"azdo-pat octo/tools run 1.1 octo/other run 2.2 x" + key:  {Source: "octo/tools run 1.1 octo/other run 2.2 x", Repository: "octo/tools", RunID: "1", Attempt: "1"},
		"azdo-pat octo/tools run 1.1 azdo-pat a/b run 2.2" + key:  {Source: "octo/tools run 1.1 azdo-pat a/b run 2.2", Repository: "octo/tools", RunID: "1", Attempt: "1"},
		"azdo-pat octo/tools run 1.1 x fedcba9876543210" + key:    {Source: "octo/tools run 1.1 x fedcba9876543210", Repository: "octo/tools", RunID: "1", Attempt: "1"},
		"azdo-pat build-7 nightly" + key:                          {Source: "build-7 nightly"},
		"azdo-pat build-7 octo/tools run 1.1 x" + key:             {Source: "build-7 octo/tools run 1.1 x"},
		"azdo-pat -" + key:                                       {Source: "-"},
		"azdo-pat contoso/demo build 77.1 job" + key:             {Source: "contoso/demo build 77.1 job"},
		"azdo-pat octo/tools runs 1.1 x" + key:                   {Source: "octo/tools runs 1.1 x"},
		"azdo-pat octo/tools run 1 x" + key:                      {Source: "octo/tools run 1 x", Repository: "octo/tools"},
		"azdo-pat octo/tools run 1.1.1 x" + key:                  {Source: "octo/tools run 1.1.1 x", Repository: "octo/tools"},
		"azdo-pat octo/tools run 01.1 x" + key:                   {Source: "octo/tools run 01.1 x", Repository: "octo/tools"},
		"azdo-pat octo/tools run 1.0 x" + key:                    {Source: "octo/tools run 1.0 x", Repository: "octo/tools"},
		"azdo-pat octo/tools run -1.1 x" + key:                   {Source: "octo/tools run -1.1 x", Repository: "octo/tools"},
		"azdo-pat octo/tools run 12345678901234567890.1 x" + key: {Source: "octo/tools run 12345678901234567890.1 x", Repository: "octo/tools"},
		"azdo-pat octo/tools run 1.1/../2 x" + key:               {Source: "octo/tools run 1.1/../2 x", Repository: "octo/tools"},
		"azdo-pat ../.. run 1.1 x" + key:                         {Source: "../.. run 1.1 x"},
		"azdo-pat octo/.. run 1.1 x" + key:                       {Source: "octo/.. run 1.1 x"},
		"azdo-pat octo/a/b run 1.1 x" + key:                      {Source: "octo/a/b run 1.1 x"},
		"azdo-pat octo/a?b run 1.1 x" + key:                      {Source: "octo/a?b run 1.1 x"},
		"azdo-pat octo%2ftools run 1.1 x" + key:                  {Source: "octo%2ftools run 1.1 x"},
		"azdo-pat octo/ run 1.1 x" + key:                         {Source: "octo/ run 1.1 x"},
		"azdo-pat octo/" + long + " run 12345678…" + key:         {Source: "octo/" + long + " run 12345678…", Repository: "octo/" + long},
		"azdo-pat octo/" + long + " run 123456.…" + key:          {Source: "octo/" + long + " run 123456.…", Repository: "octo/" + long},
		"azdo-pat octo/" + long + " run 12345.1…" + key:          {Source: "octo/" + long + " run 12345.1…", Repository: "octo/" + long},
		"azdo-pat octo/tools run… x" + key:                       {Source: "octo/tools run… x"},
		"azdo-pat octo/tools run 1.1… octo/tools run 2.2" + key:  {Source: "octo/tools run 1.1… octo/tools run 2.2", Repository: "octo/tools"},
		"azdo-pat octo/tools run x…" + key:                       {Source: "octo/tools run x…", Repository: "octo/tools"},
		"azdo-pat octo/tools run . build" + key:                  {Source: "octo/tools run . build", Repository: "octo/tools"},
		"azdo-pat octo/tools run 42. build" + key:                {Source: "octo/tools run 42. build", Repository: "octo/tools"},
		"azdo-pat octo/tools r…" + key:                           {Source: "octo/tools r…", Repository: "octo/tools"},
		"azdo-pat octo/tools run…" + key:                         {Source: "octo/tools run…", Repository: "octo/tools"},
		"azdo-pat octo/tools b…" + key:                           {Source: "octo/tools b…"},
		"azdo-pat octo/tools…" + key:                             {Source: "octo/tools…"},
		"azdo-pat octo/tools …" + key:                            {Source: "octo/tools …"},
		"azdo-pat octo/tools" + key:                              {Source: "octo/tools"},
		"azdo-pat run 1.1 octo/tools run 2.2" + key:              {Source: "run 1.1 octo/tools run 2.2"},
		"azdo-pat " + strings.Repeat("s", 102) + key:             {Source: strings.Repeat("s", 102)},
		// These names are not azdo-pat's.
		"":                                           {},
		"azdo-pat":                                   {},
		"azdo-pat ":                                  {},
		"azdo-pat foo":                               {},
		"azdo-pat" + key:                             {},
		"azdo-pat " + key:                            {},
		"azdo-pat foo0123456789abcdef":               {},
		"azdo-pat octo/tools run 1.1 build":          {},
		"azdo-pat foo 0123456789ABCDEF":              {},
		"azdo-pat foo 0123456789abcde":               {},
		"azdo-pat foo 0123456789abcdef0":             {},
		"azdo-pat foo 0123456789abcdeg":              {},
		"azdo-pat foo 0123456789abcdef ":             {},
		"azdo-pat foo 0123456789abcdef\n":            {},
		" azdo-pat foo" + key:                        {},
		"Azdo-pat foo" + key:                         {},
		"my azdo-pat foo" + key:                      {},
		"azdo-pat  foo" + key:                        {},
		"azdo-pat foo " + key:                        {},
		"azdo-pat a\tb" + key:                        {},
		"azdo-pat a\u202eb" + key:                    {},
		"azdo-pat ##[error]x" + key:                  {},
		"azdo-pat a\xffb" + key:                      {},
		"azdo-pat 🙂" + key:                           {},
		"azdo-pat " + strings.Repeat("s", 103) + key: {},
	} {
		if want.Kind = displayname.Other; want.Source != "" {
			want.Kind, want.Key = displayname.Lease, key[1:]
		}
		if got := displayname.Parse(text); got != want {
			t.Errorf("%q: %+v, want %+v", text, got, want)
		}
	}
}

// With a long repository name the run id is truncated; it must not be read as the id of
// another run.
func TestCutNameHasNoRun(t *testing.T) {
	t.Parallel()
	whole, parts := 0, 0
	for length := range 100 {
		repository := "octo/" + strings.Repeat("r", length+1)
		for _, label := range []string{"", "nightly", "run 9.9", "octo/other run 9.9"} {
			name := githubOrigin(label, "GITHUB_REPOSITORY", repository, "GITHUB_RUN_ID", "17452093817", "GITHUB_RUN_ATTEMPT", "12").DisplayName()
			n := displayname.Parse(name)
			switch {
			case n.Kind != displayname.Lease:
				t.Errorf("%q is not ours", name)
			case n.RunID == "17452093817" && n.Attempt == "12" && n.Repository == repository:
				whole++
			case n.RunID == "" && n.Attempt == "" && (n.Repository == "" || n.Repository == repository):
				parts++
			default:
				t.Errorf("%q is taken for %+v", name, n)
			}
		}
	}
	if whole < 200 || parts < 50 {
		t.Errorf("%d with a run, %d without", whole, parts)
	}
}

// Names that the platforms make are parsed again: the repository if it is complete, and
// the run if both of its numbers are. (Gitea and act set no attempt.)
func TestNamesAreReadBack(t *testing.T) {
	t.Parallel()
	number := func(text string) bool { return text != "" && strings.Trim(text, "123456789") == "" }
	for length := 1; length < 100; length++ {
		repository := "octo/" + strings.Repeat("r", length)
		for _, run := range []string{"", "42", "17452", "x"} {
			for _, attempt := range []string{"", "1", "x", "0"} {
				for _, job := range []string{"", "build", "a b"} {
					for _, label := range []string{"", "octo/other run 9.9", "9.9"} {
						name := githubOrigin(label, "GITHUB_REPOSITORY", repository, "GITHUB_RUN_ID", run, "GITHUB_RUN_ATTEMPT", attempt, "GITHUB_JOB", job).DisplayName()
						n := displayname.Parse(name)
						want := displayname.Name{Kind: displayname.Lease, Source: n.Source, Key: n.Key}
						if strings.HasPrefix(name, "azdo-pat "+repository+" r") {
							want.Repository = repository
						}
						if is := repository + " run " + run + "." + attempt; number(run) && number(attempt) && (n.Source == is || strings.HasPrefix(n.Source, is+" ")) {
							want.RunID, want.Attempt = run, attempt
						}
						if n != want {
							t.Fatalf("%q is read as %+v, want %+v", name, n, want)
						}
					}
				}
			}
		}
	}
}

// Whatever repository, job, host and label there are: what is written is read
// back as a lease, and is never another run's.
func FuzzParse(f *testing.F) {
	for _, seed := range githubrunner.HostileText {
		f.Add(seed, "17452093817", "build", seed)
	}
	f.Add("octo/tools", "1", "octo/other run 2.2", "octo/other run 3.3")
	f.Add("", "", "run 2.2", "octo/other run 3.3 x")
	f.Add("\x00", ".", "", "octo/other run 3.3 x")
	f.Add("octo/other run 3.3", "1", "", "")
	f.Add("", "1", "", "azdo-pat ##[x] 0123456789abcdef") // the form, but not what we write
	f.Add("rotated", "1", "", "sonar")
	f.Add("rotated sonar", "", "rotated sonar", "")
	f.Add("\u200brotated\u00a0", "", "", "##[x]")
	f.Fuzz(func(t *testing.T, where, run, job, label string) {
		repository := "octo/" + strings.Map(func(r rune) rune {
			if strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.", r) {
				return r
			}
			return -1
		}, where)
		run = strings.Map(func(r rune) rune {
			if r < '1' || r > '9' {
				return -1
			}
			return r
		}, run)
		action := githubOrigin(label, "GITHUB_REPOSITORY", repository, "GITHUB_RUN_ID", run, "GITHUB_RUN_ATTEMPT", "1", "GITHUB_JOB", job)
		elsewhere := githubOrigin(label, "GITHUB_REPOSITORY", where, "GITHUB_RUN_ID", job, "GITHUB_RUN_ATTEMPT", job, "GITHUB_JOB", label)
		for _, o := range []displayname.Origin{action, elsewhere, terminalOrigin(label, where), {Source: where, Key: "0123456789abcdef"}} {
			name := o.DisplayName()
			n := displayname.Parse(name)
			if n.Kind != displayname.Lease || n.Consumer != "" || n.Key != o.Key || utf8.RuneCountInString(n.Source) > 102 {
				t.Errorf("%q is read as %+v", name, n)
			}
		}
		for _, o := range []displayname.Origin{action, terminalOrigin(label, where)} {
			name := o.DisplayName()
			switch n := displayname.Parse(name); {
			case n.RunID == "" && n.Attempt == "" && (n.Repository == "" || o.Derived && n.Repository == repository):
			case !o.Derived || n.Repository != repository || n.RunID != run || n.Attempt != "1":
				t.Errorf("%q is taken for %+v", name, n)
			}
		}
	})
}

// A name is of a kind only if it is exactly what azdo-pat writes for that kind, so that no
// text passes for two kinds, or for a PAT of another consumer.
func FuzzKind(f *testing.F) {
	const key = " 0123456789abcdef"
	for _, seed := range append(githubrunner.HostileText, "azdo-pat rotated sonar"+key, "azdo-pat rotated  sonar"+key, "azdo-pat rotated sonar x"+key,
		"azdo-pat rotated"+key, "azdo-pat rotated- sonar"+key, "azdo-pat build-7 nightly"+key, "azdo-pat octo/tools run 1.1 x"+key) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		n := displayname.Parse(text)
		written := ""
		switch n.Kind {
		case displayname.Lease:
			written = displayname.Origin{Source: n.Source, Key: n.Key}.DisplayName()
			if n.Consumer != "" {
				t.Errorf("%q is a lease of the consumer %q", text, n.Consumer)
			}
		case displayname.Rotated:
			b, err := hex.DecodeString(n.Key)
			if err != nil || n.Source+n.Repository+n.RunID+n.Attempt != "" {
				t.Fatalf("%q is read as %+v, %v", text, n, err)
			}
			written = displayname.RotatedOrigin(n.Consumer, bytes.NewReader(b)).DisplayName()
		default:
			if n != (displayname.Name{Kind: displayname.Other}) {
				t.Errorf("%q is read as %+v", text, n)
			}
			return
		}
		if written != text {
			t.Errorf("%q is read as %+v, which is written %q", text, n, written)
		}
	})
}

func TestParseRotated(t *testing.T) {
	t.Parallel()
	const key = "0123456789abcdef"
	long := strings.Repeat("n", 60)
	for text, want := range map[string]string{ // the consumer
		"azdo-pat rotated sonar " + key:                "sonar",
		"azdo-pat rotated Sonar-1.x_y " + key:          "Sonar-1.x_y",
		"azdo-pat rotated . " + key:                    ".",
		"azdo-pat rotated rotated " + key:              "rotated",
		"azdo-pat rotated fedcba9876543210 " + key:     "fedcba9876543210",
		"azdo-pat rotated " + long + " " + key:         long,
		"azdo-pat rotated " + long + "n " + key:        "",
		"azdo-pat rotated a/b " + key:                  "",
		"azdo-pat rotated a b " + key:                  "",
		"azdo-pat rotated son… " + key:                 "",
		"azdo-pat rotated sonär " + key:                "",
		"azdo-pat rotated  " + key:                     "",
		"azdo-pat rotated " + key:                      "",
		"azdo-pat Rotated sonar " + key:                "",
		"azdo-pat  rotated sonar " + key:               "",
		"azdo-pat rotated sonar " + key + "0":          "",
		"azdo-pat rotated sonar 0123456789ABCDEF":      "",
		"azdo-pat rotated sonar " + key + " ":          "",
		"my azdo-pat rotated sonar " + key:             "",
		"azdo-pat octo/tools run 1.1 rotated a " + key: "",
	} {
		n := displayname.Parse(text)
		if n.Consumer != want || (n.Kind == displayname.Rotated) != (want != "") {
			t.Errorf("%q is read as %+v, want the consumer %q", text, n, want)
		}
	}
}

// A machine whose name is the word rotated mints leases, not rotated PATs.
func TestHostNamedRotated(t *testing.T) {
	t.Parallel()
	name := terminalOrigin("sonar", "rotated").DisplayName()
	if n := displayname.Parse(name); n.Kind != displayname.Lease || !strings.HasPrefix(name, "azdo-pat rotated- sonar ") {
		t.Errorf("%q is read as %+v", name, n)
	}
}

func TestRotatedOrigin(t *testing.T) {
	t.Parallel()
	o := displayname.RotatedOrigin("sonar", strings.NewReader("random\x00\xff"))
	if got := o.DisplayName(); got != "azdo-pat rotated sonar 72616e646f6d00ff" || o.Derived {
		t.Errorf("%q, derived: %t", got, o.Derived)
	}
	defer func() {
		if recover() == nil {
			t.Error("a name with a space is accepted")
		}
	}()
	displayname.RotatedOrigin("a b", strings.NewReader("randomness"))
}
