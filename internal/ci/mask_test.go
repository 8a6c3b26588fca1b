package ci

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/githubrunner"
	"azdo-pat/internal/secret"
)

// A mask is the first that is written of a credential, and says exactly what
// the credential is.
func TestMask(t *testing.T) {
	t.Parallel()
	for _, text := range []string{newPAT, oldPAT, "pa%25ss%0Aword", "::error::x", "##[error]x", " spaces around ", `quotes"'`, "ünïcödé", "a,b:c=d", "four"} {
		t.Run(text, func(t *testing.T) {
			t.Parallel()
			s := newStep(t, false)
			if err := s.Mask(secret.New(text)); err != nil {
				t.Fatal(err)
			}
			s.Log().Infof("and then: %s", text)
			s.Log().Error("failed", errors.New(text))
			first, rest, _ := strings.Cut(s.stdout.String(), "\n")
			if c, ok := githubrunner.ParseLine(first); !ok || c.Name != "add-mask" || c.Data != text || len(c.Properties) > 0 {
				t.Errorf("the first line is %q, understood as %+v", first, c)
			}
			if want := "and then: ***\n::error title=failed::***\n"; rest != want {
				t.Errorf("then came %q, want %q", rest, want)
			}
			if s.stderr.Len() > 0 {
				t.Errorf("standard error %q", s.stderr.String())
			}
		})
	}
}

// The three forms in which a PAT travels, each masked before anything is said.
func TestMaskPAT(t *testing.T) {
	t.Parallel()
	for _, pat := range []string{newPAT, oldPAT} {
		s := newStep(t, false)
		if err := MaskPAT(s, secret.New(pat)); err != nil {
			t.Fatal(err)
		}
		want := fmt.Sprintf("::add-mask::%s\n::add-mask::%s\n::add-mask::%s\n", pat,
			base64.StdEncoding.EncodeToString([]byte(pat)), base64.StdEncoding.EncodeToString([]byte(":"+pat)))
		if got := s.stdout.String(); got != want {
			t.Errorf("got\n%swant\n%s", got, want)
		}
	}
}

// There is nothing to mask: an add-mask without a value is a warning of the
// runner's.
func TestMaskNothing(t *testing.T) {
	t.Parallel()
	s := newStep(t, false)
	if err := errors.Join(s.Mask(secret.Value{}), s.Mask(secret.New("")), MaskPAT(s, secret.Value{})); err != nil || s.stdout.Len() > 0 {
		t.Errorf("%v, %q", err, s.stdout.String())
	}
	p, stdout, stderr := newTerminal(false, nil)
	if err := errors.Join(p.Mask(secret.Value{}), MaskPAT(p, secret.Value{})); err != nil || stdout.Len()+stderr.Len() > 0 {
		t.Errorf("%v, %q, %q", err, stdout.String(), stderr.String())
	}
	if p.Log().Infof("a b"); stderr.String() != "azdo-pat: a b\n" {
		t.Errorf("the log says %q", stderr.String())
	}
}

// A terminal has no mask command, so none is written; the log still redacts.
func TestTerminalMask(t *testing.T) {
	t.Parallel()
	p, stdout, stderr := newTerminal(false, nil)
	if err := MaskPAT(p, secret.New(newPAT)); err != nil {
		t.Fatal(err)
	}
	p.Log().Infof("%s %s", newPAT, base64.StdEncoding.EncodeToString([]byte(":"+newPAT)))
	if stdout.Len() > 0 || strings.Contains(stderr.String(), newPAT[:20]) || !strings.HasPrefix(stderr.String(), "azdo-pat: *** ") {
		t.Errorf("standard output %q, standard error %q", stdout.String(), stderr.String())
	}
}

// failing is a writer that takes some writes and no more.
type failing struct {
	bytes.Buffer
	takes int
}

func (f *failing) Write(p []byte) (int, error) {
	if f.takes--; f.takes < 0 {
		return 0, errors.New("broken pipe")
	}
	return f.Buffer.Write(p)
}

// A credential whose mask did not go out must not be used.
func TestMaskThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	closed, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	closed.Close()
	g := NewGitHub(Options{LookupEnv: newBareStep(false).lookup, Stdout: closed, Stderr: new(bytes.Buffer)})
	if err := g.Mask(secret.New(newPAT)); err == nil || !errors.Is(err, os.ErrClosed) || strings.Contains(err.Error(), newPAT) {
		t.Errorf("Mask on a closed standard output: %v", err)
	}
	// A log that cannot be written is no reason to stop.
	g.Log().Infof("not shown")
	g.Log().Warning("not", "shown")
	g.Log().Group("not shown")()

	for takes := range 3 {
		w := &failing{takes: takes}
		g := NewGitHub(Options{LookupEnv: newBareStep(false).lookup, Stdout: w, Stderr: new(bytes.Buffer)})
		if err := MaskPAT(g, secret.New(newPAT)); err == nil || strings.Contains(err.Error(), newPAT) {
			t.Errorf("MaskPAT with %d of 3 masks written: %v", takes, err)
		}
	}
}

// A panic while logging must not end the program before it has cleaned up.
func TestContained(t *testing.T) {
	t.Parallel()
	if err := recoverPanic(func() { panic("out of order") }); err == nil || err.Error() != "out of order" {
		t.Error(err)
	}
	if err := recoverPanic(func() { panic(os.ErrClosed) }); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
	if err := recoverPanic(func() {}); err != nil {
		t.Error(err)
	}
}

// A mask of a few letters would hide them wherever they stand in the log, and the
// CI system masks each line of a value.
func TestMaskOfTooFewCharacters(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"a", "abc", "   ", "abc ", "äöü", "\n", "hunter2\nabc", "a\r\nhunter2"} {
		terminal, _, stderr := newTerminal(false, nil)
		step, agent := newStep(t, false), newPipelineStep(t, false)
		for name, p := range map[string]Platform{"GitHub": step, "Azure Pipelines": agent, "terminal": terminal} {
			if err := p.Mask(secret.New(text)); !errors.Is(err, ErrTooShort) {
				t.Errorf("%s: a mask of %q: %v", name, text, err)
			}
			if err := p.Log().Hide(secret.New(text)); !errors.Is(err, ErrTooShort) {
				t.Errorf("%s: %q is hidden: %v", name, text, err)
			}
			if got := p.Log().Redact("abc äöü   hunter2"); got != "abc äöü   hunter2" {
				t.Errorf("%s: after %q the log says %q", name, text, got)
			}
		}
		if step.stdout.Len()+agent.stdout.Len()+stderr.Len() > 0 {
			t.Errorf("%q: %q, %q, %q", text, step.stdout.String(), agent.stdout.String(), stderr.String())
		}
	}
}

// A credential is replaced before the line is made harmless, so what makes it
// harmless cannot spoil the match; and what replaces it makes no command.
func TestRedactBeforeNoCommands(t *testing.T) {
	t.Parallel()
	s := newStep(t, false)
	for _, text := range []string{"::x##[y]z", "[error]", "\u200bhidden"} {
		if err := s.Mask(secret.New(text)); err != nil {
			t.Fatal(err)
		}
	}
	s.stdout.Reset()
	s.Log().Infof("::x##[y]z\n##[error]x #[error]# \u200bhidden\n[error]::error::y")
	if got, want := s.stdout.String(), "***\n# #***x #***# ***\n***::error::y\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// A mask that could not be written is not taken for one that was: asked for once
// more, it must be written or fail again.
func TestMaskThatFailed(t *testing.T) {
	t.Parallel()
	w := &failingOnce{}
	g := NewGitHub(Options{LookupEnv: func(string) (string, bool) { return "", false }, Stdout: w, Random: strings.NewReader("")})
	v := secret.New("correct-horse-battery")
	if err := g.Mask(v); err == nil {
		t.Fatal("the failure was not reported")
	}
	for range 2 {
		if err := g.Mask(v); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := w.String(), "::add-mask::correct-horse-battery\n"; got != want {
		t.Errorf("wrote %q, want %q", got, want)
	}
}

// failingOnce is a stream whose first write fails.
type failingOnce struct {
	failed bool
	strings.Builder
}

func (f *failingOnce) Write(p []byte) (int, error) {
	if !f.failed {
		f.failed = true
		return 0, errors.New("broken pipe")
	}
	return f.Builder.Write(p)
}
