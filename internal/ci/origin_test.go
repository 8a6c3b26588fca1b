package ci

import (
	"errors"
	"regexp"
	"strings"
	"testing"
	"testing/iotest"
)

var nameForm = regexp.MustCompile(`^azdo-pat (\S.*\S|\S) ([0-9a-f]{16})$`)

func TestGitHubOrigin(t *testing.T) {
	t.Parallel()
	for label, want := range map[string]string{
		"":                "octo/tools run 4711.1 build",
		"nightly":         "octo/tools run 4711.1 build nightly",
		" two\n words ":   "octo/tools run 4711.1 build two words",
		"##[error]::x::y": "octo/tools run 4711.1 build ##[error]::x::y",
	} {
		got := newBareStep(false).Origin(label)
		if got.Source != want || !got.Derived || !nameForm.MatchString(got.DisplayName()) {
			t.Errorf("%q: %+v, named %q", label, got, got.DisplayName())
		}
		if token := job["ACTIONS_ID_TOKEN_REQUEST_TOKEN"]; strings.Contains(got.DisplayName(), token) {
			t.Errorf("the request token is in the name %q", got.DisplayName())
		}
	}
}

// The post step is another process, with neither main's randomness nor its
// options, and must come to the same name.
func TestKeyIsTheSameInPost(t *testing.T) {
	t.Parallel()
	main := newStep(t, true, "INPUT_NAME", "x")
	post := newBareStep(false, "STATE_lease", "damaged", "RUNNER_DEBUG", "1", "HOSTNAME", "other")
	post.random = iotest.ErrReader(errors.New("not asked"))
	for _, label := range []string{"", "nightly", strings.Repeat("long", 99)} {
		a, b := main.Origin(label), post.Origin(label)
		if a != b || a.DisplayName() != b.DisplayName() || !a.Derived {
			t.Errorf("main %+v, post %+v", a, b)
		}
	}
}

// Each input of the key, changed alone, changes the key.
func TestKeyDiffers(t *testing.T) {
	t.Parallel()
	seen := map[string]string{}
	try := func(what, label string, variables ...string) {
		t.Helper()
		o := newBareStep(false, variables...).Origin(label)
		if other, again := seen[o.Key]; again {
			t.Errorf("%s has the key of %s, %s", what, other, o.Key)
		}
		seen[o.Key] = what
		if !nameForm.MatchString(o.DisplayName()) || !o.Derived {
			t.Errorf("%s: %+v", what, o)
		}
	}
	try("the step", "")
	try("another label", "a")
	try("yet another label", "b")
	try("another step", "", "GITHUB_ACTION", "__octo_azdo-pat_2")
	try("another attempt", "", "GITHUB_RUN_ATTEMPT", "2")
	try("another run", "", "GITHUB_RUN_ID", "4712")
	try("another job", "", "GITHUB_JOB", "test")
	try("another repository", "", "GITHUB_REPOSITORY", "octo/other")
	try("another matrix leg", "", "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "eyJ0eXAi.cmVxdWVzdC10d28.c2ln")
	// The same words, split in another way.
	try("split before", "b c", "GITHUB_ACTION", "a")
	try("split behind", "c", "GITHUB_ACTION", "a b")
	try("split nowhere", "", "GITHUB_ACTION", "a b c")
}

// Without a request token a derived key could be guessed, so the key is random.
func TestRandomKey(t *testing.T) {
	t.Parallel()
	s := newBareStep(false, "ACTIONS_ID_TOKEN_REQUEST_TOKEN", "")
	o := s.Origin("label")
	if o.Derived || o.Key != "72616e646f6d6e65" || o.Source != "octo/tools run 4711.1 build label" {
		t.Errorf("GitHub: %+v", o)
	}
	p, _, _ := newTerminal(false, job)
	o = p.Origin("label")
	if o.Derived || o.Key != "72616e646f6d6e65" || o.Source != "build-7 label" || o.DisplayName() != "azdo-pat build-7 label 72616e646f6d6e65" {
		t.Errorf("terminal: %+v", o)
	}
	p.random, p.host = strings.NewReader("another!"), ""
	if got := p.Origin(""); got.Key == o.Key || got.DisplayName() != "azdo-pat - "+got.Key {
		t.Errorf("the next: %+v", got)
	}
	// A key that is not random is worse than none.
	defer func() {
		if recover() == nil {
			t.Error("a key without randomness")
		}
	}()
	p.random = strings.NewReader("short")
	p.Origin("")
}
