package ci

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/secret"
)

// minted is a result like any other.
var minted = Result{
	Token:           secret.New(newPAT),
	AuthorizationID: "4ab5764f-4193-4f1d-b995-64144880b7d7",
	ExpiresAt:       time.Date(2026, 11, 2, 14, 0, 0, 320e6, time.FixedZone("CET", 3600)),
	DisplayName:     "azdo-pat octo/tools run 4711.1 build 0123456789abcdef",
	Scopes:          []string{"vso.code", "vso.packaging_write"},
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	s := newStep(t, false)
	if err := errors.Join(s.Prepare(Origin{}), s.HandOver(minted)); err != nil {
		t.Fatal(err)
	}
	got, err := pairs(s.file(t, outputFile))
	want := []pair{
		{"authorization-id", "4ab5764f-4193-4f1d-b995-64144880b7d7"},
		{"expires-at", "2026-11-02T13:00:00Z"},
		{"display-name", "azdo-pat octo/tools run 4711.1 build 0123456789abcdef"},
		{"scopes", "vso.code vso.packaging_write"},
		{"token", newPAT},
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if s.stdout.Len()+s.stderr.Len() > 0 {
		t.Errorf("standard output %q, standard error %q", s.stdout.String(), s.stderr.String())
	}
	if state := s.file(t, stateFile); state != "" {
		t.Errorf("the state holds %q", state)
	}
}

// The last record counts, and the post step reads it as it was written.
func TestRecord(t *testing.T) {
	t.Parallel()
	s := newStep(t, false)
	if _, ok := s.Recorded(); ok {
		t.Error("a record before there is one")
	}
	records := []string{`{"v":1,"stage":"started"}`, ` a=b<<c "%0A" ::error::x ##[error]y `, `{"v":1,"stage":"over"}`, ""}
	for _, r := range records {
		if err := s.Record(r); err != nil {
			t.Fatal(err)
		}
		got, err := pairs(s.file(t, stateFile))
		if err != nil || got[len(got)-1] != (pair{"lease", r}) {
			t.Fatalf("%q, %v after recording %q", got, err, r)
		}
		post := newStep(t, false, "STATE_"+got[len(got)-1].name, got[len(got)-1].value)
		if back, ok := post.Recorded(); !ok || back != r {
			t.Errorf("the post step reads %q, %v, want %q", back, ok, r)
		}
	}
	if got := s.file(t, outputFile); got != "" {
		t.Errorf("the outputs hold %q", got)
	}
}

func TestSummary(t *testing.T) {
	t.Parallel()
	s := newStep(t, false)
	if err := s.Mask(secret.New("hunter2")); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(s.Summary("### minted\n\nwith hunter2 and "+newPAT), s.Summary("### revoked\n")); err != nil {
		t.Fatal(err)
	}
	if got, want := s.file(t, summaryFile), "### minted\n\nwith *** and ***\n### revoked\n\n"; got != want {
		t.Errorf("the summary is %q, want %q", got, want)
	}
	// Where there is none, none is written.
	if err := newStep(t, false, summaryFile, "").Summary("x"); err != nil {
		t.Error(err)
	}
}

// The library has one delimiter for every value, so that a value with line
// breaks could write outputs of its own.
func TestValuesWithLineBreaks(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"a\nb", "a\rb", "\n", "a\n" + delimiter + "\ntoken=x", delimiter, "x" + delimiter, "a\x00b"} {
		t.Run(fmt.Sprintf("%q", value), func(t *testing.T) {
			t.Parallel()
			s := newStep(t, false)
			if err := s.Record(value); !errors.Is(err, ErrMultiline) {
				t.Errorf("Record: %v", err)
			}
			for name, r := range map[string]Result{
				"authorization-id": {AuthorizationID: value},
				"display-name":     {DisplayName: value},
				"scopes":           {Scopes: []string{"vso.code", value}},
				"token":            {Token: secret.New(value)},
			} {
				err := s.HandOver(r)
				if want := "output " + name + ": a value with a line break cannot be handed over"; !errors.Is(err, ErrMultiline) || err.Error() != want {
					t.Errorf("HandOver: %v, want %s", err, want)
				}
			}
			if s.file(t, outputFile) != "" || s.file(t, stateFile) != "" {
				t.Error("something was written all the same")
			}
		})
	}
}

// The runner would read such a value as another one.
func TestInvalidText(t *testing.T) {
	t.Parallel()
	for _, s := range []Platform{newStep(t, false), newPipelineStep(t, false)} {
		r := minted
		r.DisplayName = "a\xffb"
		if err := errors.Join(s.Prepare(s.Origin("")), s.HandOver(r)); !errors.Is(err, ErrInvalidText) {
			t.Errorf("HandOver: %v", err)
		}
		if err := s.Record("a\xc3"); !errors.Is(err, ErrInvalidText) {
			t.Errorf("Record: %v", err)
		}
	}
}

// Whatever is one line of valid text comes back as it is.
func FuzzOutputs(f *testing.F) {
	for _, seed := range []string{"a", "a=b", "a<<b", "", delimiter, "a\nb", "\r", "\u2028", "%0A", "\xff"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, name, record string) {
		s := newStep(t, false)
		r := minted
		r.DisplayName = name
		if err := s.HandOver(r); err != nil {
			multiline := strings.ContainsAny(name, "\r\n\x00") || strings.Contains(name, delimiter)
			if errors.Is(err, ErrMultiline) != multiline || errors.Is(err, ErrInvalidText) == utf8.ValidString(name) && !multiline {
				t.Fatalf("HandOver(%q): %v", name, err)
			}
		} else if got, err := pairs(s.file(t, outputFile)); err != nil || len(got) != 5 || got[2] != (pair{"display-name", name}) || got[4].value != newPAT {
			t.Errorf("%q was read back as %q, %v", name, got, err)
		}
		if err := s.Record(record); err == nil {
			if got, err := pairs(s.file(t, stateFile)); err != nil || !slices.Equal(got, []pair{{"lease", record}}) {
				t.Errorf("%q was read back as %q, %v", record, got, err)
			}
		}
	})
}

// Each command file that cannot be written is an error with what to change, in
// Prepare too, before there is a PAT to lose.
func TestFilesThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, path := range []string{"", dir, filepath.Join(dir, "missing", "file"), filepath.Join(dir, "\x00")} {
		for _, name := range []string{outputFile, stateFile} {
			t.Run(name+"="+strings.TrimPrefix(path, dir), func(t *testing.T) {
				t.Parallel()
				s := newStep(t, false, name, path)
				tried := map[string]error{"Prepare": s.Prepare(Origin{}), "HandOver": s.HandOver(minted)}
				if name == stateFile {
					tried["HandOver"] = s.Record("x")
				}
				for what, err := range tried {
					want, advice := name+" cannot be written: ", "the container must run as root, as GitHub requires it of container actions"
					if path == "" {
						want, advice = name+" is not set", "the runner sets it for every step; hand it through to where azdo-pat runs"
					}
					if err == nil || !strings.HasPrefix(err.Error(), want) || hint.Of(err) != advice {
						t.Errorf("%s: %v (%s), want %s… (%s)", what, err, hint.Of(err), want, advice)
					}
				}
			})
		}
	}
	if err := newStep(t, false, summaryFile, dir).Summary("x"); err == nil || !strings.HasPrefix(err.Error(), summaryFile+" cannot be written: ") {
		t.Errorf("Summary: %v", err)
	}
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip("no /dev/full here")
	}
	s := newStep(t, true, outputFile, "/dev/full", stateFile, "/dev/full", summaryFile, "/dev/full")
	for name, err := range map[string]error{outputFile: s.HandOver(minted), stateFile: s.Record("x"), summaryFile: s.Summary("x")} {
		if err == nil || !errors.Is(err, syscall.ENOSPC) || !strings.HasPrefix(err.Error(), "write to "+name+": ") || strings.Contains(err.Error(), newPAT) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.stdout.Len() > 0 {
		t.Errorf("handed over on standard output all the same: %q", s.stdout.String())
	}
}

// Where nobody sees the masks nothing is handed over, and standard error says
// why.
func TestNullDevice(t *testing.T) {
	t.Parallel()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	s := newStep(t, false)
	g := NewGitHub(Options{LookupEnv: s.lookup, Stdout: null, Stderr: &s.stderr})
	if err = g.Prepare(Origin{}); err == nil {
		t.Fatal("nobody sees the masks, and Prepare is content")
	}
	g.Log().Error("azdo-pat mint failed", err)
	if want := "::error title=azdo-pat mint failed::the log goes to the null device: nobody would see the masks\n"; s.stderr.String() != want {
		t.Errorf("standard error %q, want %q", s.stderr.String(), want)
	}
	if err := NewTerminal(Options{LookupEnv: s.lookup, Stdout: null}).Prepare(Origin{}); err == nil {
		t.Error("nobody gets the PAT, and Prepare is content")
	}
}
