package assertion

import (
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
	// The largest allowed.
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

// Contents that are not a token may be another secret: they are neither sent to Entra
// nor shown in the error.
func TestNoTokenInTheFile(t *testing.T) {
	t.Parallel()
	const notJWT = "not a JWT (three base64url parts, the first two JSON)"
	for name, tc := range map[string]struct{ text, want string }{
		"empty":            {"", "it is empty"},
		"blank":            {" \n\t\n", "it is empty"},
		"a password":       {"hunter2", notJWT},
		"two parts":        {"eyJ0eXAiOiJKV1QifQ.eyJzdWIiOiJ4In0", notJWT},
		"no signature":     {"eyJ0eXAiOiJKV1QifQ.eyJzdWIiOiJ4In0.", notJWT},
		"two tokens":       {someJWT + "\n" + someJWT, "it holds a line break or another control character"},
		"NUL":              {someJWT + "\x00", "it holds a line break or another control character"},
		"byte order mark":  {"\ufeff" + someJWT, "it starts with a byte order mark"},
		"UTF-16":           {"\xff\xfee\x00y\x00J\x00", "it is not UTF-8 text (perhaps UTF-16)"},
		"quotes":           {`"` + someJWT + `"`, "it is in quotes"},
		"Bearer":           {"Bearer " + someJWT, `it starts with "Bearer "`},
		"invisible":        {someJWT + "\u200b", `it holds the invisible character \u200b`},
		"unicode":          {"hunter2é", "it holds a character that no token has"},
		"JSON around":      {`{"value":"` + someJWT + `"}`, "it holds a quote"},
		"a key":            {"-----BEGIN PRIVATE KEY-----\nhunter2\n", "it holds a line break or another control character"},
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

// The file is read each time, because the CI system updates it.
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
