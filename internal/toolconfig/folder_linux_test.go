package toolconfig

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// A process without root's rights removes the folder also where a step made it, or a
// folder in it, read-only.
func TestRemoveReadOnly(t *testing.T) {
	t.Parallel()
	temp, name := t.TempDir(), NewFolder(key, rand.Reader)
	for _, path := range []string{"a", "sub/b", "sub/deep/c"} {
		write(t, filepath.Join(temp, name, path), "x")
	}
	for _, path := range []string{"sub/deep", "sub", ""} {
		if err := os.Chmod(filepath.Join(temp, name, path), 0); err != nil {
			t.Fatal(err)
		}
	}
	failed := make(chan error)
	go func() {
		if os.Geteuid() == 0 {
			// Of this thread alone, which ends with the goroutine. Root's rights to files
			// are gone.
			runtime.LockOSThread()
			for _, path := range []string{"..", "", name, name + "/sub", name + "/sub/deep"} {
				_ = os.Chown(filepath.Join(temp, path), 1234, 1234)
			}
			if err := syscall.Setfsuid(1234); err != nil {
				failed <- err
				return
			}
		}
		_, err := Remove(temp, Folders{Recorded: name})
		failed <- err
	}()
	if err := <-failed; err != nil || exists(filepath.Join(temp, name)) {
		t.Error(err)
	}
}

// What a killed process held is removed, and neither what a live one holds nor what mint
// wrote.
func TestRemoveAbandoned(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	killed, live, minted, planted := NewFolder(key, rand.Reader), NewFolder(key, rand.Reader), NewFolder(key, rand.Reader), NewFolder(key, rand.Reader)
	if err := Write(temp, minted, []File{{"a", nil}}); err != nil {
		t.Fatal(err)
	}
	end, err := WriteHeld(temp, killed, []File{{"a", nil}})
	if err != nil {
		t.Fatal(err)
	}
	end()
	release, err := WriteHeld(temp, live, []File{{"a", nil}})
	if err != nil {
		t.Fatal(err)
	}
	elsewhere := t.TempDir()
	write(t, filepath.Join(elsewhere, held), "")
	if err := os.Symlink(elsewhere, filepath.Join(temp, planted)); err != nil {
		t.Fatal(err)
	}
	if removed := RemoveAbandoned(temp); len(removed) != 1 || removed[0] != filepath.Join(temp, killed) {
		t.Errorf("%q", removed)
	}
	if exists(filepath.Join(temp, killed)) || !exists(filepath.Join(temp, live, "a")) || !exists(filepath.Join(temp, minted, "a")) || !exists(filepath.Join(elsewhere, held)) {
		t.Error("the wrong one is gone")
	}
	release()
	if removed := RemoveAbandoned(temp); len(removed) != 1 || exists(filepath.Join(temp, live)) {
		t.Errorf("%q", removed)
	}
	if removed := RemoveAbandoned(filepath.Join(temp, "nowhere")); len(removed) > 0 {
		t.Errorf("%q", removed)
	}
}

// The program does not wait at a named pipe that replaced a file or a folder.
func TestOpenNow(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	pipe := filepath.Join(temp, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(temp)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	opened := make(chan error, 1)
	go func() {
		f, err := openNow(root, "pipe")
		if err == nil {
			err = f.Close()
		}
		opened <- err
	}()
	select {
	case err := <-opened:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it waits for a writer")
	}
}
