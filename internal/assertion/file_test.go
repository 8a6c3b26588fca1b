package assertion

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"azdo-pat/internal/hint"
)

func TestFile(t *testing.T) {
	t.Parallel()
	// The largest, which no token of this world comes near.
	largest := someJWT + strings.Repeat("x", maxLength-len(someJWT))
	for name, text := range map[string]string{
		"as it is":     someJWT,
		"line feed":    someJWT + "\n",
		"CRLF":         someJWT + "\r\n",
		"spaces":       " \t" + someJWT + " ",
		"largest":      largest,
		"largest, fed": largest + "\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			v, err := (&File{path}).Assertion(t.Context())
			if err != nil || v.Reveal() != strings.TrimSpace(text) {
				t.Errorf("%d bytes, %v", len(v.Reveal()), err)
			}
		})
	}
}

// What is no token does not go to Entra, and does not come up in the error: it
// may be another secret.
func TestNoTokenInTheFile(t *testing.T) {
	t.Parallel()
	const notJWT = "not a JWT (three base64url parts, the first two JSON)"
	for name, tc := range map[string]struct{ text, want string }{
		"empty":            {"", "it is empty"},
		"blank":            {" \n\t\n", "it is empty"},
		"a password":       {"hunter2", notJWT},
		"two parts":        {"eyJ0eXAiOiJKV1QifQ.eyJzdWIiOiJ4In0", notJWT},
		"no signature":     {"eyJ0eXAiOiJKV1QifQ.eyJzdWIiOiJ4In0.", notJWT},
		"two tokens":       {someJWT + "\n" + someJWT, notJWT},
		"NUL":              {someJWT + "\x00", notJWT},
		"byte order mark":  {"\ufeff" + someJWT, notJWT},
		"unicode":          {"hunter2é", notJWT},
		"JSON around":      {`{"value":"` + someJWT + `"}`, notJWT},
		"a key":            {"-----BEGIN PRIVATE KEY-----\nhunter2\n", notJWT},
		"a byte too long":  {someJWT + strings.Repeat("x", maxLength+1-len(someJWT)), "it is longer than 64 KiB"},
		"much too long":    {someJWT + strings.Repeat("x", 2*maxLength), "the file is too large for a token"},
		"a lot of nothing": {strings.Repeat("\n", 2*maxLength), "the file is too large for a token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(path, []byte(tc.text), 0o600); err != nil {
				t.Fatal(err)
			}
			v, err := (&File{path}).Assertion(t.Context())
			if err == nil || err.Error() != "read the assertion from federated-token-file: "+path+": "+tc.want || !v.IsZero() {
				t.Fatalf("%v, want …%s", err, tc.want)
			}
			if hint.Of(err) != "the file must hold the CI system's OIDC token and nothing else" {
				t.Errorf("hint %q", hint.Of(err))
			}
			if strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "eyJ") {
				t.Errorf("the content is in the error: %v", err)
			}
		})
	}
}

func TestFileThatCannotBeRead(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := (&File{filepath.Join(dir, "none")}).Assertion(t.Context()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), filepath.Join(dir, "none")) {
		t.Error(err)
	}
	if _, err := (&File{dir}).Assertion(t.Context()); !errors.Is(err, syscall.EISDIR) || !strings.Contains(err.Error(), dir) {
		t.Error(err)
	}
}

// The file is read each time: the CI system keeps it fresh.
func TestFileIsReadEachTime(t *testing.T) {
	t.Parallel()
	f := &File{filepath.Join(t.TempDir(), "token")}
	for _, end := range []string{"1", "2"} {
		if err := os.WriteFile(f.Path, []byte(someJWT+end), 0o600); err != nil {
			t.Fatal(err)
		}
		if v, err := f.Assertion(t.Context()); err != nil || v.Reveal() != someJWT+end {
			t.Errorf("%q, %v", v.Reveal(), err)
		}
	}
}

// Guards against a pipe that nobody writes to, and one that somebody holds open:
// opening and reading them wait for ever, but the caller does not.
func TestPipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("told to stop"))
	if _, err := (&File{path}).Assertion(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("without a writer: %v", err)
	} else if want := "read the assertion from federated-token-file: " + path + ": context canceled"; err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	w, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	if _, err := (&File{path}).Assertion(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("with a silent writer: %v", err)
	}
}

// A pipe that is written to and closed is as good as a file, such as the shell's
// <(command).
func TestPipeWithAToken(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() { wrote <- os.WriteFile(path, []byte(someJWT+"\n"), 0) }()
	v, err := (&File{path}).Assertion(t.Context())
	if err := errors.Join(err, <-wrote); err != nil || v.Reveal() != someJWT {
		t.Errorf("%q, %v", v.Reveal(), err)
	}
}
