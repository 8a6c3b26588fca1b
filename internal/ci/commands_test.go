package ci

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"azdo-pat/internal/fakes/dotnet"
	"azdo-pat/internal/fakes/githubrunner"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/sanitize"
)

// The log of one failure, line by line.
func TestGitHubLog(t *testing.T) {
	t.Parallel()
	s := newStep(t, false, "RUNNER_DEBUG", "1")
	log := s.Log()
	end := log.Group("azdo-pat mint: con\ntoso")
	log.Infof("minting %q\n::error::%s", "a", "b")
	log.Debugf("tried %d%%\nthen", 50)
	log.Notice("a: b, c", "to 100%\nof it")
	log.Warning("::error::", "##[error]x")
	end()
	end()
	log.Error("azdo-pat mint failed", hint.Add(errors.New("ask Entra: 50%: no"), "change\r\nthis"))
	want := strings.Join([]string{
		"::group::azdo-pat mint: con toso",
		`minting "a"`,
		": :error::b",
		"::debug::tried 50%25%0Athen",
		"::notice title=a%3A b%2C c::to 100%25%0Aof it",
		"::warning title=%3A %3Aerror%3A%3A::# #[error]x",
		"::endgroup::",
		"::error title=azdo-pat mint failed::ask Entra: 50%25: no%0Achange %0Athis",
		"",
	}, "\n")
	if got := s.stdout.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if s.stderr.Len() > 0 {
		t.Errorf("standard error %q: the runner may show it first", s.stderr.String())
	}
}

func TestTerminalLog(t *testing.T) {
	t.Parallel()
	p, stdout, stderr := newTerminal(false, map[string]string{"RUNNER_DEBUG": "1"})
	log := p.Log()
	end := log.Group("azdo-pat mint: contoso")
	log.Infof("minting %q\n::error::%s", "a", "##vso[task.complete]")
	log.Debugf("tried\nthen")
	log.Notice("refresh token", "dies soon")
	log.Warning("clock is off", "by 2m\rand more")
	end()
	log.Error("azdo-pat mint failed", hint.Add(errors.New("no"), "change this"))
	want := strings.Join([]string{
		"azdo-pat: mint: contoso",
		`azdo-pat: minting "a"`,
		"azdo-pat: : :error::# #vso[task.complete]",
		"azdo-pat: debug: tried",
		"azdo-pat:   then",
		"azdo-pat: notice: refresh token: dies soon",
		"azdo-pat: warning: clock is off: by 2m and more",
		"azdo-pat: error: mint failed: no",
		"azdo-pat:   change this",
		"",
	}, "\n")
	if got := stderr.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if stdout.Len() > 0 {
		t.Errorf("standard output %q", stdout.String())
	}
}

// Debug lines are written only if debug logging is on for the run (RUNNER_DEBUG=1).
func TestDebug(t *testing.T) {
	t.Parallel()
	for value, want := range map[string]string{"1": "::debug::x\n", "": "", "0": "", "true": ""} {
		s := newStep(t, false, "RUNNER_DEBUG", value)
		s.Log().Debugf("x")
		if got := s.stdout.String(); got != want {
			t.Errorf("RUNNER_DEBUG=%q: %q, want %q", value, got, want)
		}
	}
	p, _, stderr := newTerminal(false, nil)
	if p.Log().Debugf("x"); stderr.Len() > 0 {
		t.Errorf("without RUNNER_DEBUG: %q", stderr.String())
	}
}

// An annotation holds 4,096 of .NET's characters; what is longer would be dropped.
// The log has all of it.
func TestLongAnnotations(t *testing.T) {
	t.Parallel()
	s := newStep(t, false)
	s.Log().Warning(strings.Repeat("t", 500), strings.Repeat("ä%\n", 3000)+"😀😀😀")
	all := commands(s.stdout.String())
	if len(all) != 1 || all[0].Name != "warning" {
		t.Fatalf("%d commands", len(all))
	}
	if n := utf8.RuneCountInString(all[0].Data); n > 4096 || n < 4000 || !strings.HasSuffix(all[0].Data, cutNote) {
		t.Errorf("%d characters, the end is %q", n, all[0].Data[len(all[0].Data)-80:])
	}
	if before, _, _ := strings.Cut(s.stdout.String(), "::warning"); before != strings.Repeat("ä%\n", 3000)+"😀😀😀\n" {
		t.Errorf("%d bytes before the annotation", len(before))
	}
	s = newStep(t, false)
	s.Log().Warning("t", strings.Repeat("😀", 2001))
	if all := commands(s.stdout.String()); len(all) != 1 || all[0].Data != strings.Repeat("😀", 2000)+cutNote {
		t.Errorf("%+v", all)
	}
	if n := utf8.RuneCountInString(all[0].Properties["title"]); n != 100 {
		t.Errorf("a title of %d characters", n)
	}
}

// FuzzAnnotations lets text from outside into every kind of line: the runner
// must see the commands that were meant, each with the text as its data, and no
// other.
func FuzzAnnotations(f *testing.F) {
	for i, seed := range githubrunner.HostileText {
		f.Add(seed, githubrunner.HostileText[len(githubrunner.HostileText)-1-i])
	}
	f.Fuzz(func(t *testing.T, title, text string) {
		s := newBareStep(false, "RUNNER_DEBUG", "1")
		log := s.Log()
		end := log.Group(text)
		log.Infof("%s", text)
		log.Infof("said: %s", text)
		log.Debugf("%s", text)
		log.Notice(title, text)
		log.Warning(title, text)
		log.Error(title, hint.Add(errors.New(text), title))
		end()
		output := s.stdout.String()
		got := commands(output)
		var names []string
		for _, c := range got {
			names = append(names, c.Name)
		}
		if want := []string{"group", "debug", "notice", "warning", "error", "endgroup"}; !slices.Equal(names, want) || vso(output) {
			t.Fatalf("title %q, text %q: commands %q in\n%s", title, text, names, output)
		}
		long := utf8.RuneCountInString(text)+utf8.RuneCountInString(title) > 1000
		if clean := sanitize.NoCommands(text); !long && !strings.Contains(log.Redact(text), "***") {
			for i, want := range map[int]string{1: clean, 2: clean, 3: clean} {
				if got[i].Data != want {
					t.Errorf("%s says %q, want %q", got[i].Name, got[i].Data, want)
				}
			}
			if got[4].Data != sanitize.NoCommands(Explain(hint.Add(errors.New(text), title))) && !strings.Contains(log.Redact(title), "***") {
				t.Errorf("error says %q of %q, %q", got[4].Data, text, title)
			}
		}
		for _, c := range got {
			for name := range c.Properties {
				if name != "title" {
					t.Errorf("%s has the property %q, from %q", c.Name, name, title)
				}
			}
		}

		// The same elsewhere: every line starts as ours do.
		p, stdout, stderr := newTerminal(false, map[string]string{"RUNNER_DEBUG": "1"})
		log = p.Log()
		log.Group(text)()
		log.Infof("%s", text)
		log.Debugf("%s", text)
		log.Notice(title, text)
		log.Error(title, errors.New(text))
		for _, line := range dotnet.Lines(stderr.String()) {
			if _, ok := githubrunner.ParseLine(line); ok || vso(line) || !strings.HasPrefix(line, "azdo-pat: ") {
				t.Errorf("title %q, text %q: line %q", title, text, line)
			}
		}
		if stdout.Len() > 0 {
			t.Errorf("standard output %q", stdout.String())
		}
	})
}
