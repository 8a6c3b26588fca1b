package ci

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/fakes/githubrunner"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// minted is a result like any other.
var minted = Result{
	Token:           secret.New(newPAT),
	AuthorizationID: "4ab5764f-4193-4f1d-b995-64144880b7d7",
	ExpiresAt:       time.Date(2026, 11, 2, 14, 0, 0, 320e6, time.FixedZone("CET", 3600)),
	DisplayName:     "azdo-pat octo/tools run 4711.1 build 0123456789abcdef",
	Scopes:          []string{"vso.code", "vso.packaging_write"},
	Type:            "pat",
}

func TestOutputs(t *testing.T) {
	t.Parallel()
	s := newStep(t, false)
	if err := errors.Join(s.Prepare(displayname.Origin{}), s.HandOver(minted)); err != nil {
		t.Fatal(err)
	}
	got, err := pairs(s.file(t, outputFile))
	want := []pair{
		{"authorization-id", "4ab5764f-4193-4f1d-b995-64144880b7d7"},
		{"expires-at", "2026-11-02T13:00:00Z"},
		{"display-name", "azdo-pat octo/tools run 4711.1 build 0123456789abcdef"},
		{"scopes", "vso.code vso.packaging_write"},
		{"token-type", "pat"},
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
	if _, ok := s.Recorded(displayname.Origin{}); ok {
		t.Error("a record before there is one")
	}
	records := []string{`{"v":2,"stage":"started"}`, ` a=b<<c "%0A" ::error::x ##[error]y `, `{"v":2,"stage":"closed"}`, ""}
	for _, r := range records {
		if err := s.Record(r); err != nil {
			t.Fatal(err)
		}
		got, err := pairs(s.file(t, stateFile))
		if err != nil || got[len(got)-1] != (pair{"lease", r}) {
			t.Fatalf("%q, %v after recording %q", got, err, r)
		}
		post := newStep(t, false, "STATE_"+got[len(got)-1].name, got[len(got)-1].value)
		if back, ok := post.Recorded(displayname.Origin{}); !ok || back != r {
			t.Errorf("the post step reads %q, %v, want %q", back, ok, r)
		}
	}
	if got := s.file(t, outputFile); got != "" {
		t.Errorf("the outputs hold %q", got)
	}
}

// A post step with a longer variable would not start.
func TestRecordIsTooLong(t *testing.T) {
	t.Parallel()
	s := newStep(t, false)
	if err := s.Record(strings.Repeat("x", 120<<10)); err != nil {
		t.Error(err)
	}
	if err := s.Record(strings.Repeat("x", 120<<10+1)); err == nil || err.Error() != "a record of 120 KiB is too long for the post step (at most 120)" {
		t.Error(err)
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
	// Without a summary file, no summary is written.
	if err := newStep(t, false, summaryFile, "").Summary("x"); err != nil {
		t.Error(err)
	}
}

// The library has one delimiter for every value, so that a value with line
// breaks could write outputs of its own.
func TestValuesWithLineBreaks(t *testing.T) {
	t.Parallel()
	for _, value := range []string{"a\nb", "a\rb", "\n", "a\n" + sanitize.OutputDelimiter + "\ntoken=x", sanitize.OutputDelimiter, "x" + sanitize.OutputDelimiter, "a\x00b"} {
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
				t.Error("a refused hand-over wrote to a command file")
			}
		})
	}
}

// Command files are read as the runner reads them.
func FuzzCommandFile(f *testing.F) {
	for _, seed := range []string{"a=1\nA=2\nb<<E\n1\n\nE\n", "\ufeffa=1", "\xff\xfea\x00", "a<<\xff\nx\n\ufffd\nb=1\n\xff\n", "=1", "<<E\nE\n", "a<<E", "a", "\n\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		got, err := parsePairs(text)
		pairs, broken := githubrunner.ParsePairs(string(text))
		want := githubrunner.Fold(pairs)
		if err == nil && (broken != nil || !maps.Equal(got, want)) {
			t.Errorf("%q is read as %q; the runner reads %q, %v", text, got, want, broken)
		}
		_, nameless := want[""]
		utf16 := bytes.HasPrefix(text, []byte("\xff\xfe")) || bytes.HasPrefix(text, []byte("\xfe\xff")) || bytes.HasPrefix(text, []byte("\x00\x00\xfe\xff"))
		if err != nil && broken == nil && !nameless && !utf16 {
			t.Errorf("%q is refused: %v; the runner reads %q", text, err, want)
		}
	})
}

// The post step looks for the record under one spelling, on Linux. Outputs are
// found under any.
func TestOtherSpellings(t *testing.T) {
	t.Parallel()
	for _, name := range []string{stateFile, outputFile} {
		path := filepath.Join(t.TempDir(), "file")
		if err := os.WriteFile(path, []byte("LEASE=x\nTOKEN=y\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		s := newStep(t, false, name, path)
		if name == stateFile {
			if err := s.Record("x"); err == nil {
				t.Error("Record overwrote the state LEASE that was there before")
			}
		} else if err := s.HandOver(minted); err != nil {
			t.Error(err)
		}
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
	for _, seed := range []string{"a", "a=b", "a<<b", "", sanitize.OutputDelimiter, "a\nb", "\r", "\u2028", "%0A", "\xff"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, name, record string) {
		s := newStep(t, false)
		r := minted
		r.DisplayName = name
		if err := s.HandOver(r); err != nil {
			multiline := strings.ContainsAny(name, "\r\n\x00") || strings.Contains(name, sanitize.OutputDelimiter)
			if errors.Is(err, ErrMultiline) != multiline || errors.Is(err, ErrInvalidText) == utf8.ValidString(name) && !multiline {
				t.Fatalf("HandOver(%q): %v", name, err)
			}
		} else if got, err := pairs(s.file(t, outputFile)); err != nil || len(got) != 6 || got[2] != (pair{"display-name", name}) || got[5].value != newPAT {
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
				tried := map[string]error{"Prepare": s.Prepare(displayname.Origin{}), "HandOver": s.HandOver(minted)}
				if name == stateFile {
					tried["HandOver"] = s.Record("x")
				}
				for what, err := range tried {
					want, advice := name+" cannot be written: ", "the runner makes this file and sets the variable; do not change either"
					switch {
					case strings.Contains(path, "missing"):
						advice = "the runner makes this file; in a container its folder must be mounted, and the variable must have the path inside the container"
					case path == "":
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

// Only a file that this user may not write tells of a container that does not run as root.
func TestFileOfAnotherUser(t *testing.T) {
	t.Parallel()
	for err, root := range map[error]bool{
		&fs.PathError{Op: "open", Err: syscall.EACCES}: true,
		&fs.PathError{Op: "open", Err: syscall.EPERM}:  true,
		&fs.PathError{Op: "open", Err: syscall.EISDIR}: false,
		&fs.PathError{Op: "open", Err: syscall.ENOENT}: false,
	} {
		if got := unopened(err); strings.Contains(got, "must run as root") != root || got == "" {
			t.Errorf("%v: %s", err, got)
		}
	}
}

// The runner's files are regular files. A pipe is not even opened, since that would
// block, and nothing is written through a link.
func TestCommandFileIsReplaced(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	elsewhere, link, dangling := filepath.Join(dir, "elsewhere"), filepath.Join(dir, "link"), filepath.Join(dir, "dangling")
	if err := errors.Join(os.WriteFile(elsewhere, nil, 0o644), os.Symlink(elsewhere, link), os.Symlink(filepath.Join(dir, "nowhere"), dangling)); err != nil {
		t.Fatal(err)
	}
	for path, why := range map[string]string{
		os.DevNull: "is not a regular file",
		link:       "is a symbolic link, not the runner's file",
		dangling:   "is a symbolic link, not the runner's file",
	} {
		s := newStep(t, true, outputFile, path, stateFile, path, summaryFile, path)
		for name, err := range map[string]error{outputFile: s.HandOver(minted), stateFile: s.Record("x"), summaryFile: s.Summary("x")} {
			if want := name + " cannot be written: " + path + " " + why; err == nil || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
			if strings.Contains(hint.Of(err), "root") || hint.Of(err) == "" {
				t.Errorf("%v: hint %q", err, hint.Of(err))
			}
		}
		if err := s.Prepare(displayname.Origin{}); err == nil {
			t.Errorf("%s: prepared", path)
		}
		if s.stdout.Len() > 0 {
			t.Errorf("handed over on standard output, although Prepare failed: %q", s.stdout.String())
		}
	}
	if text, err := os.ReadFile(elsewhere); err != nil || len(text) > 0 {
		t.Errorf("written through the link: %q, %v", text, err)
	}
	if _, err := os.Stat(filepath.Join(dir, "nowhere")); err == nil {
		t.Error("a file was made through the link")
	}
}

// An unfinished entry of an earlier command must not swallow azdo-pat's: a last line
// without a line feed gets one, and text that the runner cannot read is an error before
// anything is minted.
func TestUnfinishedCommandFile(t *testing.T) {
	t.Parallel()
	for before, why := range map[string]string{
		"":                                  "",
		"\n\n":                              "",
		"a=1\n":                             "",
		"a=1":                               "",
		"a=":                                "",
		"a=b<<c":                            "",
		"\ufeffa=1\n":                       "",
		"a<<E\nx\nE":                        "",
		"a<<E\nx\nE\n":                      "",
		"a<<E\nx\ntoken=y\nE\ntoken=old":    "",
		"a":                                 "line 1 is not NAME=VALUE",
		"=a\n":                              "line 1 is not NAME=VALUE",
		"a=1\nwords\n":                      "line 2 is not NAME=VALUE",
		"<<E\nE\n":                          "line 1 is not NAME=VALUE",
		"a<<\n\n":                           "line 1 has no delimiter after <<",
		"a=1\nb<<E":                         "the value that begins in line 2 has no end",
		"a<<E\nx\n":                         "the value that begins in line 1 has no end",
		"a<<E\nx\nE \n":                     "the value that begins in line 1 has no end",
		"\xff\xfea\x00=\x001\x00":           "it is not in UTF-8",
		"\xfe\xff\x00a\x00=\x001":           "it is not in UTF-8",
		"a\x00=\x001\x00\r\x00\n\x00":       "line 2 is not NAME=VALUE",
		"a=" + strings.Repeat("x", 5<<20):   "it is larger than 4 MiB",
		"a=" + strings.Repeat("x", 300<<10): "",
		sanitize.OutputDelimiter + "<<" + sanitize.OutputDelimiter + "\nx": "the value that begins in line 1 has no end",
	} {
		for _, name := range []string{outputFile, stateFile} {
			s := newStep(t, false)
			if err := os.WriteFile(s.env[name], []byte(before), 0o644); err != nil {
				t.Fatal(err)
			}
			write, key, value := func() error { return s.HandOver(minted) }, "token", newPAT
			if name == stateFile {
				write, key, value = func() error { return s.Record("r") }, recordKey, "r"
			}
			prepared, err := s.Prepare(displayname.Origin{}), write()
			if why != "" {
				for _, err := range []error{prepared, err} {
					if err == nil || !strings.Contains(err.Error(), name) || !strings.HasSuffix(err.Error(), ": "+why) || hint.Of(err) == "" {
						t.Errorf("%s holds %.40q: %v, want %s", name, before, err, why)
					}
				}
				if s.file(t, name) != before {
					t.Errorf("%s holds %.40q: the file was changed although the write was refused", name, before)
				}
				continue
			}
			got, broken := pairs(strings.TrimPrefix(s.file(t, name), "\ufeff"))
			if prepared != nil || err != nil || broken != nil || got[len(got)-1] != (pair{key, value}) {
				t.Errorf("%s holds %.40q: %v, %v; then the runner reads %.200q, %v", name, before, prepared, err, got, broken)
			}
		}
	}
}

// A change that another process makes between the write and the read-back is noticed.
func TestReadBack(t *testing.T) {
	t.Parallel()
	for why, change := range map[string]func(path string) error{
		"": func(string) error { return nil },
		"what was written to F is not there: it was replaced by another file": func(path string) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, []byte("a=1\n"), 0o644))
		},
		"what was written to F is not there: the runner would read another value of a": func(path string) error {
			return os.WriteFile(path, []byte("a=1\na=2\n"), 0o644)
		},
		"F holds what the runner cannot read, and what follows it would be lost: line 2 is not NAME=VALUE": func(path string) error {
			return os.WriteFile(path, []byte("a=1\nb\n"), 0o644)
		},
	} {
		c := commandFile{"F", filepath.Join(t.TempDir(), "file")}
		if err := c.add(field{"a", "1"}); err != nil {
			t.Fatal(err)
		}
		f, err := c.open()
		if err != nil {
			t.Fatal(err)
		}
		if err := change(c.path); err != nil {
			t.Fatal(err)
		}
		err = c.readBack(f, []field{{"a", "1"}})
		if (err == nil) != (why == "") || err != nil && err.Error() != why {
			t.Errorf("%v, want %s", err, why)
		}
		f.Close()
	}
}

// Outputs in the file of another command would be a summary that everybody sees or
// the environment of all later steps, and the log among them would break them.
func TestFilesOfTheirOwn(t *testing.T) {
	t.Parallel()
	for _, name := range []string{outputFile, stateFile} {
		for _, other := range []string{outputFile, stateFile, summaryFile, "GITHUB_ENV", "GITHUB_PATH"} {
			s := newStep(t, false)
			s.env[other] = s.env[name]
			if err := s.Prepare(displayname.Origin{}); (err == nil) != (name == other) || err != nil && (!strings.HasSuffix(err.Error(), " are the same file") || !strings.Contains(hint.Of(err), "do not set these variables")) {
				t.Errorf("%s is %s: %v", name, other, err)
			}
		}
		for stream, want := range []string{"standard output is the file of " + name, "standard error is the file of " + name} {
			s := newStep(t, false)
			f, err := os.OpenFile(s.env[name], os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			o := Options{LookupEnv: s.lookup, Stdout: &s.stdout, Stderr: &s.stderr}
			*[]*io.Writer{&o.Stdout, &o.Stderr}[stream] = f
			if err := NewGitHub(o).Prepare(displayname.Origin{}); err == nil || err.Error() != want {
				t.Errorf("%v, want %s", err, want)
			}
			f.Close()
		}
	}
}

// Log lines in a command file would corrupt it, and would not appear in the log.
func TestLogInACommandFile(t *testing.T) {
	t.Parallel()
	for _, name := range commandFiles {
		s := newStep(t, false)
		s.env[name] = filepath.Join(t.TempDir(), "file")
		f, err := os.OpenFile(s.env[name], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		g := NewGitHub(Options{LookupEnv: s.lookup, Stdout: f, Stderr: &s.stderr})
		g.Log().Infof("before")
		if !strings.HasPrefix(s.stderr.String(), "before\n") {
			t.Errorf("%s: standard error %q", name, s.stderr.String())
		}
		err = g.Prepare(displayname.Origin{})
		if want := "standard output is the file of " + name; err == nil || err.Error() != want {
			t.Errorf("%v, want %s", err, want)
		}
		g.Log().Error("azdo-pat mint failed", err)
		text, err := os.ReadFile(f.Name())
		if err != nil || len(text) > 0 || !strings.Contains(s.stderr.String(), "::error title=azdo-pat mint failed::standard output is the file of "+name+"%0A") {
			t.Errorf("%s: %v, the file holds %q, standard error %q", name, err, text, s.stderr.String())
		}
	}
}

// A mask in a command file would keep the credential there. Standard output is the
// caller's under JSON, so the mask does not go there either.
func TestNoMaskInACommandFile(t *testing.T) {
	t.Parallel()
	for _, name := range commandFiles {
		for _, tc := range []struct {
			json   bool
			files  []int // the streams that are the file: 0 standard output, 1 standard error
			masked bool  // on the other stream
		}{
			{false, []int{0}, true},
			{false, []int{1}, true},
			{false, []int{0, 1}, false},
			{true, []int{0}, true},
			{true, []int{1}, false},
			{true, []int{0, 1}, false},
		} {
			t.Run(fmt.Sprint(name, tc.json, tc.files), func(t *testing.T) {
				t.Parallel()
				s := newStep(t, false)
				s.env[name] = filepath.Join(t.TempDir(), "file")
				f, err := os.OpenFile(s.env[name], os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
				if err != nil {
					t.Fatal(err)
				}
				defer f.Close()
				o := Options{LookupEnv: s.lookup, Stdout: &s.stdout, Stderr: &s.stderr, JSON: tc.json}
				for _, i := range tc.files {
					*[]*io.Writer{&o.Stdout, &o.Stderr}[i] = f
				}
				g := NewGitHub(o)
				err = g.Mask(secret.New("a credential"))
				if err != nil {
					g.Log().Error("azdo-pat mint failed", err)
				}
				said := s.stdout.String() + s.stderr.String()
				text, readErr := os.ReadFile(f.Name())
				if readErr != nil || len(text) > 0 {
					t.Errorf("%v, the file holds %q", readErr, text)
				}
				if (err == nil) != tc.masked || strings.Contains(said, "::add-mask::a credential\n") != tc.masked {
					t.Errorf("%v, want masked %t, said %q", err, tc.masked, said)
				}
				if err == nil {
					return
				}
				if !strings.Contains(err.Error(), " is the file of "+name) || !strings.Contains(hint.Of(err), "do not redirect its standard ") {
					t.Errorf("%v (%s)", err, hint.Of(err))
				}
				if len(tc.files) == 1 && !strings.Contains(said, "standard error is the file of "+name) {
					t.Errorf("the error is seen nowhere: %q", said)
				}
			})
		}
	}
}

// A mask in a file only shows the credential, so masks go to standard error where
// that is read. Either way a warning says that the log is in a file.
func TestLogInAFile(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		variable string
		json     bool
		both     bool // standard error goes to the file, too
		inFile   bool // the mask is in the file, not on standard error
	}{
		{"GITHUB_ACTIONS", false, false, false},
		{"GITHUB_ACTIONS", false, true, true},
		{"GITHUB_ACTIONS", true, true, true},
		{"TF_BUILD", false, false, true},
		{"TF_BUILD", true, true, true},
	} {
		f, err := os.Create(filepath.Join(t.TempDir(), "log"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		stdout, stderr := new(bytes.Buffer), new(bytes.Buffer)
		s := newStep(t, false)
		s.env["GITHUB_ACTIONS"] = ""
		s.env[tc.variable] = "true"
		o := Options{LookupEnv: s.lookup, Stdout: f, Stderr: stderr, Random: strings.NewReader("randomness"), JSON: tc.json}
		if tc.json {
			o.Stdout = stdout
		}
		if tc.both {
			o.Stderr = f
		}
		p := Detect(o)
		if err := MaskPAT(p, secret.New(newPAT)); err != nil {
			t.Error(err)
		}
		if err := p.Prepare(p.Origin("")); err != nil {
			t.Errorf("%+v: %v", tc, err)
		}
		text, err := os.ReadFile(f.Name())
		if err != nil || stdout.Len() > 0 || !strings.Contains(string(text), "the log goes to a file") {
			t.Errorf("%+v: the file holds %q, %v; standard output %q", tc, text, err, stdout)
		}
		if inFile := strings.Contains(string(text), newPAT); inFile != tc.inFile {
			t.Errorf("%+v: the file holds %q", tc, text)
		}
		if onStderr := strings.Contains(stderr.String(), "::add-mask::"+newPAT+"\n"); onStderr == tc.inFile {
			t.Errorf("%+v: standard error %q", tc, stderr)
		}
	}
}

// If the runner cannot see the masks, nothing is handed over; standard error says why.
func TestNullDevice(t *testing.T) {
	t.Parallel()
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	s := newStep(t, false)
	g := NewGitHub(Options{LookupEnv: s.lookup, Stdout: null, Stderr: &s.stderr})
	if err = g.Prepare(displayname.Origin{}); err == nil {
		t.Fatal("Prepare succeeded although the runner cannot see the masks")
	}
	g.Log().Error("azdo-pat mint failed", err)
	if want := "::error title=azdo-pat mint failed::the log goes to the null device: the CI system would not see the masks%0Aleave standard output and standard error open: the CI system reads the masks there\n"; s.stderr.String() != want {
		t.Errorf("standard error %q, want %q", s.stderr.String(), want)
	}
	if err := NewTerminal(Options{LookupEnv: s.lookup, Stdout: null}).Prepare(displayname.Origin{}); err == nil {
		t.Error("Prepare succeeded although standard output is the null device")
	}
}
