package toolconfig

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const key = "0123456789abcdef"

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func exists(path string) bool { _, err := os.Lstat(path); return err == nil }

func TestWriteAndRemove(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	name := NewFolder(key, rand.Reader)
	if err := Write(temp, name, []File{{"a", []byte("1")}, {"b", []byte("2")}}); err != nil {
		t.Fatal(err)
	}
	for path, mode := range map[string]os.FileMode{"": os.ModeDir | 0o700, "a": 0o600, "b": 0o600} {
		if info, err := os.Lstat(filepath.Join(temp, name, path)); err != nil || info.Mode() != mode {
			t.Errorf("%s: %v, %v", path, info, err)
		}
	}
	removed, err := Remove(temp, Folders{Keys: []string{key}})
	if err != nil || len(removed) != 1 || removed[0] != filepath.Join(temp, name) || exists(filepath.Join(temp, name)) {
		t.Errorf("removed %q, %v", removed, err)
	}
	if removed, err := Remove(temp, Folders{Recorded: name, Keys: []string{key}}); err != nil || len(removed) != 0 {
		t.Errorf("a second time: %q, %v", removed, err)
	}
}

// Two folders of one lease have names that cannot be told from each other.
func TestNewFolderIsNotGuessed(t *testing.T) {
	t.Parallel()
	a, b := NewFolder(key, rand.Reader), NewFolder(key, rand.Reader)
	if a == b || !folderForm.MatchString(a) || !strings.HasPrefix(a, "azdo-pat-"+key+"-") {
		t.Errorf("%s, %s", a, b)
	}
}

// A link, folder or file that was planted under the folder's name is not used.
func TestWriteFollowsNoLink(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(temp, name, elsewhere string) error{
		"a link":   func(temp, name, elsewhere string) error { return os.Symlink(elsewhere, filepath.Join(temp, name)) },
		"a folder": func(temp, name, _ string) error { return os.Mkdir(filepath.Join(temp, name), 0o777) },
		"a file":   func(temp, name, _ string) error { return os.WriteFile(filepath.Join(temp, name), nil, 0o666) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			temp, elsewhere, folder := t.TempDir(), t.TempDir(), NewFolder(key, rand.Reader)
			if err := plant(temp, folder, elsewhere); err != nil {
				t.Fatal(err)
			}
			if err := Write(temp, folder, []File{{"a", []byte("secret")}}); err == nil {
				t.Error("no error")
			}
			if exists(filepath.Join(elsewhere, "a")) || exists(filepath.Join(temp, folder, "a")) {
				t.Error("the file was written")
			}
		})
	}
	temp, link := t.TempDir(), filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(temp, link); err != nil {
		t.Fatal(err)
	}
	if err := Write(link, NewFolder(key, rand.Reader), nil); err == nil || CheckTemp(link) == nil {
		t.Error("a temp folder that is a link")
	}
}

// A planted file or link is not written to.
func TestWriteMakesNewFiles(t *testing.T) {
	t.Parallel()
	temp := t.TempDir()
	outside := filepath.Join(t.TempDir(), "outside")
	write(t, outside, "before")
	if err := os.Symlink(outside, filepath.Join(temp, "a")); err != nil {
		t.Fatal(err)
	}
	root, err := os.OpenRoot(temp)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	owner, err := root.Stat(".")
	if err != nil {
		t.Fatal(err)
	}
	if err := writeFile(root, File{"a", []byte("secret")}, owner); err == nil {
		t.Error("no error through a link")
	}
	write(t, filepath.Join(temp, "b"), "before")
	if err := writeFile(root, File{"b", []byte("secret")}, owner); err == nil {
		t.Error("no error over a file")
	}
	for _, path := range []string{outside, filepath.Join(temp, "b")} {
		if text, err := os.ReadFile(path); err != nil || string(text) != "before" {
			t.Errorf("%s: %q, %v", path, text, err)
		}
	}
}

// If a file cannot be written, nothing is left.
func TestWriteFailsWithNothingLeft(t *testing.T) {
	t.Parallel()
	temp, name := t.TempDir(), NewFolder(key, rand.Reader)
	if err := Write(temp, name, []File{{"a", nil}, {"a", nil}}); err == nil {
		t.Error("no error")
	}
	if exists(filepath.Join(temp, name)) {
		t.Error("the folder is left")
	}
}

// Only folders of the lease are removed, with everything in them, and links are not
// followed.
func TestRemoveTouchesNothingElse(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	temp, own := filepath.Join(dir, "temp"), NewFolder(key, rand.Reader)
	keep := []string{
		"keep/file", "temp/file", "temp/azdo-pat-" + key + ".json", "temp/azdo-pat-" + key + "-x/file",
		"temp/" + NewFolder("fedcba9876543210", rand.Reader) + "/file", "temp/azdo-pat-tools/file",
	}
	for _, path := range append(keep, "temp/"+own+"/a", "temp/"+own+"/deep/er/b") {
		write(t, filepath.Join(dir, path), "x")
	}
	if err := os.Symlink(filepath.Join(dir, "keep"), filepath.Join(temp, own, "link")); err != nil {
		t.Fatal(err)
	}
	linked := NewFolder(key, rand.Reader)
	if err := os.Symlink(filepath.Join(dir, "keep"), filepath.Join(temp, linked)); err != nil {
		t.Fatal(err)
	}
	for _, recorded := range []string{"../keep", "..", ".", "", "file", "azdo-pat-tools", filepath.Join(dir, "keep"), own} {
		if _, err := Remove(temp, Folders{Recorded: recorded}); err != nil {
			t.Errorf("%s: %v", recorded, err)
		}
	}
	if exists(filepath.Join(temp, own)) || !exists(filepath.Join(temp, linked)) {
		t.Error("the recorded folder is left, or another is gone")
	}
	if removed, err := Remove(temp, Folders{Keys: []string{key}}); err == nil || !strings.Contains(err.Error(), "may be elsewhere") || len(removed) > 0 || exists(filepath.Join(temp, linked)) {
		t.Errorf("the link: removed %q, %v", removed, err)
	}
	for _, path := range keep {
		if !exists(filepath.Join(dir, path)) {
			t.Errorf("%s is gone", path)
		}
	}
}

// Without a temp folder there is nothing to remove.
func TestRemoveWithoutTemp(t *testing.T) {
	t.Parallel()
	for _, temp := range []string{"", filepath.Join(t.TempDir(), "nowhere")} {
		if removed, err := Remove(temp, Folders{Keys: []string{key}}); len(removed) > 0 || err != nil {
			t.Errorf("%s: %q, %v", temp, removed, err)
		}
	}
}

// revoke knows the id of a PAT alone where it is not the post step.
func TestRemoveByID(t *testing.T) {
	t.Parallel()
	temp, own, other := t.TempDir(), NewFolder(key, rand.Reader), NewFolder(key, rand.Reader)
	for name, id := range map[string]string{own: "4ab5764f", other: "5ab5764f"} {
		if err := Write(temp, name, []File{{IDFile, []byte(id)}}); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(temp, "azdo-pat-else", IDFile), "4ab5764f")
	if _, err := Remove(temp, Folders{ID: "4AB5764F"}); err != nil || exists(filepath.Join(temp, own)) || !exists(filepath.Join(temp, other)) || !exists(filepath.Join(temp, "azdo-pat-else")) {
		t.Error(err)
	}
}

// A temp folder that cannot be used is worth a warning only if files are in it.
func TestRemoveFromALink(t *testing.T) {
	t.Parallel()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if _, err := Remove(link, Folders{Keys: []string{key}, ID: "1"}); err != nil {
		t.Error(err)
	}
	if _, err := Remove(link, Folders{Recorded: NewFolder(key, rand.Reader)}); err == nil {
		t.Error("no error")
	}
}

// Without a record a temp folder that cannot be used is an error if files were asked for.
func TestRemoveExpected(t *testing.T) {
	t.Parallel()
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(t.TempDir(), link); err != nil {
		t.Fatal(err)
	}
	if _, err := Remove(link, Folders{Keys: []string{key}, Expected: true}); err == nil {
		t.Error("no error")
	}
}
