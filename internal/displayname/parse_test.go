package displayname_test

import (
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
		if want.Source != "" {
			want.Key = key[1:]
		}
		got, ok := displayname.Parse(text)
		if got != want || ok != (want != displayname.Name{}) {
			t.Errorf("%q: %+v, %v, want %+v", text, got, ok, want)
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
			n, ok := displayname.Parse(name)
			switch {
			case !ok:
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
						n, ok := displayname.Parse(name)
						want := displayname.Name{Source: n.Source, Key: n.Key}
						if strings.HasPrefix(name, "azdo-pat "+repository+" r") {
							want.Repository = repository
						}
						if is := repository + " run " + run + "." + attempt; number(run) && number(attempt) && (n.Source == is || strings.HasPrefix(n.Source, is+" ")) {
							want.RunID, want.Attempt = run, attempt
						}
						if !ok || n != want {
							t.Fatalf("%q is read as %+v, %v, want %+v", name, n, ok, want)
						}
					}
				}
			}
		}
	}
}

// Whatever repository, job, host and label there are: what is written is read
// back, and is never another run's.
func FuzzParse(f *testing.F) {
	for _, seed := range githubrunner.HostileText {
		f.Add(seed, "17452093817", "build", seed)
	}
	f.Add("octo/tools", "1", "octo/other run 2.2", "octo/other run 3.3")
	f.Add("", "", "run 2.2", "octo/other run 3.3 x")
	f.Add("\x00", ".", "", "octo/other run 3.3 x")
	f.Add("octo/other run 3.3", "1", "", "")
	f.Add("", "1", "", "azdo-pat ##[x] 0123456789abcdef") // the form, but not what we write
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
		for _, o := range []displayname.Origin{action, terminalOrigin(label, where)} {
			name := o.DisplayName()
			n, ok := displayname.Parse(name)
			if !ok || n.Key != o.Key || utf8.RuneCountInString(n.Source) > 102 {
				t.Errorf("%q is read as %+v, %v", name, n, ok)
			}
			switch {
			case n.RunID == "" && n.Attempt == "" && (n.Repository == "" || o.Derived && n.Repository == repository):
			case !o.Derived || n.Repository != repository || n.RunID != run || n.Attempt != "1":
				t.Errorf("%q is taken for %+v", name, n)
			}
		}
		// Whatever is taken for ours is what we would have written.
		if n, ok := displayname.Parse(label); ok && (displayname.Origin{Source: n.Source, Key: n.Key}).DisplayName() != label {
			t.Errorf("%q is taken for ours", label)
		}
	})
}
