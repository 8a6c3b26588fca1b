//go:build unix

package toolconfig

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// The files of root's container belong to the user that the job's steps run as.
func TestFilesBelongToTheOwnerOfTheTempFolder(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can give files away")
	}
	temp, name := t.TempDir(), NewFolder(key, rand.Reader)
	if err := os.Chown(temp, 1234, 4321); err != nil {
		t.Fatal(err)
	}
	if err := Write(temp, name, []File{{"a", nil}}); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"", "a"} {
		info, err := os.Lstat(filepath.Join(temp, name, path))
		if err != nil {
			t.Fatal(err)
		}
		if is := info.Sys().(*syscall.Stat_t); is.Uid != 1234 || is.Gid != 4321 {
			t.Errorf("%q belongs to %d:%d", path, is.Uid, is.Gid)
		}
	}
}

// A folder that replaced ours between the two calls that make and open it is not used.
func TestReplacedFolderIsNotUsed(t *testing.T) {
	t.Parallel()
	root, err := os.OpenRoot(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	for name, plant := range map[string]func() error{
		"a link to a folder beside it": func() error { return symlinkTo(root, "other") },
		"a folder that others can use": func() error { return root.Mkdir("own", 0o755) },
	} {
		if err := plant(); err != nil {
			t.Fatal(err)
		}
		if folder, err := openOwn(root, "own"); err == nil {
			folder.Close()
			t.Errorf("%s: no error", name)
		}
		if err := root.RemoveAll("own"); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() != 0 {
		return
	}
	if err := root.Mkdir("own", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := root.Chown("own", 1234, 1234); err != nil {
		t.Fatal(err)
	}
	if folder, err := openOwn(root, "own"); err == nil {
		folder.Close()
		t.Error("another user's folder: no error")
	}
}

func symlinkTo(root *os.Root, name string) error {
	if err := root.Mkdir(name, 0o700); err != nil {
		return err
	}
	return root.Symlink(name, "own")
}
