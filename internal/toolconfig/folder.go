package toolconfig

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"

	"azdo-pat/internal/hint"
)

// folderPrefix begins the names of all folders of this package.
const folderPrefix = "azdo-pat-"

// folderForm is the name of a folder: the key of the lease, which the process that
// removes the folder can compute again, and 128 random bits, so that it cannot be guessed.
var folderForm = regexp.MustCompile(`^` + folderPrefix + `[0-9a-f]{16}-[0-9a-f]{32}$`)

// NewFolder returns the name of a new folder for the lease with that key, 16 hex digits.
func NewFolder(key string, random io.Reader) string {
	var b [16]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		panic("no randomness: " + err.Error()) // crypto/rand never fails
	}
	return folderPrefix + key + "-" + hex.EncodeToString(b[:])
}

// aboutTemp says what can be changed about the temp folder.
const aboutTemp = "the temp folder must be there, be no link, and be mounted where azdo-pat runs; it is RUNNER_TEMP, in Azure Pipelines AGENT_TEMPDIRECTORY, elsewhere TMPDIR"

// openTemp opens the temp folder. It is where the runner empties it: through a link the
// files could end up in the workspace, where they would stay.
func openTemp(temp string) (*os.Root, error) {
	if temp == "" {
		return nil, hint.Add(errors.New("open the temp folder: there is none"), aboutTemp)
	}
	temp = filepath.Clean(temp) // with a slash at the end, Lstat would follow a link
	info, err := os.Lstat(temp)
	if err != nil {
		return nil, hint.Add(fmt.Errorf("open the temp folder: %w", err), aboutTemp)
	}
	if !info.IsDir() {
		return nil, hint.Add(fmt.Errorf("open the temp folder: %s is not a folder", temp), aboutTemp)
	}
	root, err := os.OpenRoot(temp)
	if err != nil {
		return nil, hint.Add(fmt.Errorf("open the temp folder: %w", err), aboutTemp)
	}
	if opened, err := root.Stat("."); err != nil || !os.SameFile(info, opened) {
		_ = root.Close()
		return nil, fmt.Errorf("open the temp folder: %s was replaced meanwhile", temp)
	}
	return root, nil
}

// CheckTemp reports why no folder can be made in a temp folder.
func CheckTemp(temp string) error {
	root, err := openTemp(temp)
	if err != nil {
		return err
	}
	return root.Close()
}

// Write makes the folder of that name in the temp folder, with the files in it. They
// belong to the owner of the temp folder, as whom the job's steps run, and no other user
// can read them. If it fails, nothing is left.
func Write(temp, name string, files []File) error {
	dir, err := create(temp, name, files, func(*os.File, *os.Root) error { return nil })
	if err == nil {
		err = dir.Close()
	}
	return err
}

// held is the name of a folder in each folder that its process locks while it runs.
const held = "held"

// WriteHeld is [Write] for a process that removes the folder itself, and then calls
// release. If it is killed before, [RemoveAbandoned] finds the folder.
func WriteHeld(temp, name string, files []File) (release func(), err error) {
	locked := false
	dir, err := create(temp, name, files, func(dir *os.File, folder *os.Root) error {
		locked = lock(dir)
		if !locked {
			return nil
		}
		return folder.Mkdir(held, 0o700)
	})
	if err != nil {
		return nil, err
	}
	if !locked { // on Windows an open folder cannot be removed
		_ = dir.Close()
	}
	return func() {
		if locked {
			unlock(dir)
			_ = dir.Close()
		}
	}, nil
}

// RemoveAbandoned removes folders of processes that were killed. It returns the paths of
// what it removed. What it cannot remove it leaves alone.
func RemoveAbandoned(temp string) (removed []string) {
	root, err := openTemp(temp)
	if err != nil {
		return nil
	}
	defer root.Close()
	names, _ := folders(root)
	for _, name := range names {
		if abandoned(root, name) && removeFolder(root, name) == nil {
			removed = append(removed, joined(temp, name))
		}
	}
	return removed
}

// abandoned reports whether the process of a folder has ended without removing it.
func abandoned(root *os.Root, name string) bool {
	if info, err := root.Lstat(name); err != nil || !info.IsDir() {
		return false
	}
	if _, err := root.Lstat(name + "/" + held); err != nil { // there since it is locked
		return false
	}
	dir, err := openNow(root, name)
	if err != nil {
		return false
	}
	defer dir.Close()
	if !lock(dir) {
		return false
	}
	unlock(dir)
	return true
}

// create is [Write] with a function that is called before a file is written. It returns
// the open folder.
func create(temp, name string, files []File, before func(dir *os.File, folder *os.Root) error) (dir *os.File, err error) {
	root, err := openTemp(temp)
	if err != nil {
		return nil, err
	}
	defer root.Close()
	err = root.Mkdir(name, 0o700)
	if err != nil {
		return nil, fmt.Errorf("make a folder for the tools' files in %s: %w", temp, err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, removeFolder(root, name))
		}
	}()
	folder, err := openOwn(root, name)
	if err != nil {
		return nil, fmt.Errorf("make a folder for the tools' files in %s: %w", temp, err)
	}
	defer folder.Close()
	owner, err := root.Stat(".")
	if err != nil {
		return nil, fmt.Errorf("find the owner of %s: %w", temp, err)
	}
	dir, err = folder.Open(".")
	if err != nil {
		return nil, fmt.Errorf("make a folder for the tools' files in %s: %w", temp, err)
	}
	err = before(dir, folder)
	if err != nil {
		err = fmt.Errorf("make a folder for the tools' files in %s: %w", temp, err)
	} else {
		err = writeFiles(dir, folder, files, owner, temp)
	}
	if err != nil {
		_ = dir.Close()
		return nil, err
	}
	return dir, nil
}

func writeFiles(dir *os.File, folder *os.Root, files []File, owner fs.FileInfo, temp string) error {
	for _, file := range files {
		if err := writeFile(folder, file, owner); err != nil {
			return fmt.Errorf("write the file %s for the tools in %s: %w", file.Name, temp, err)
		}
	}
	if err := chown(dir, owner); err != nil {
		return fmt.Errorf("give the folder of the tools' files to the owner of %s: %w", temp, err)
	}
	return nil
}

// openOwn opens the folder that was just made, and makes sure that it is that one: a
// process of the temp folder's owner could have put another in its place.
func openOwn(root *os.Root, name string) (*os.Root, error) {
	folder, err := root.OpenRoot(name)
	if err != nil {
		return nil, err
	}
	is, err := folder.Stat(".")
	if err == nil {
		var at fs.FileInfo
		at, err = root.Lstat(name)
		if err == nil && (!os.SameFile(is, at) || !private(is)) {
			err = errors.New("it was replaced meanwhile")
		}
	}
	if err != nil {
		_ = folder.Close()
		return nil, err
	}
	return folder, nil
}

func writeFile(folder *os.Root, file File, owner fs.FileInfo) error {
	f, err := folder.OpenFile(file.Name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(file.Content)
	if err == nil {
		err = chown(f, owner)
	}
	return errors.Join(err, f.Close())
}

// IDFile is the name of the file with the id of the PAT.
const IDFile = "authorization-id"

// Folders selects folders that [Write] made.
type Folders struct {
	Recorded string   // the folder of that name
	Keys     []string // those of the leases with these keys
	ID       string   // those whose [IDFile] has this id
	// Expected: there should be one, so that a temp folder that cannot be used is an error
	// also if none is recorded.
	Expected bool
}

// Remove removes folders that [Write] made in the temp folder. It returns the paths of
// what was removed; the error names what could not be, and what was replaced by a link or
// a file. It removes nothing of another name, and follows no link.
func Remove(temp string, which Folders) (removed []string, err error) {
	if temp == "" {
		return nil, nil
	}
	root, err := openTemp(temp)
	if errors.Is(err, fs.ErrNotExist) || err != nil && which.Recorded == "" && !which.Expected {
		return nil, nil // no folder is known to be there
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()
	names, err := folders(root)
	if err != nil {
		return nil, fmt.Errorf("look for the folder of the tools' files in %s: %w", temp, err)
	}
	var failed []error
	for _, name := range names {
		if name != which.Recorded && !ofKeys(name, which.Keys) && !hasID(root, name, which.ID) {
			continue
		}
		info, err := root.Lstat(name)
		replaced := err == nil && !info.IsDir()
		if err := removeFolder(root, name); err != nil {
			failed = append(failed, fmt.Errorf("remove %s: %w", joined(temp, name), err))
			continue
		}
		if replaced {
			failed = append(failed, fmt.Errorf("%s was no folder any more: what was in it may be elsewhere", joined(temp, name)))
			continue
		}
		removed = append(removed, joined(temp, name))
	}
	return removed, errors.Join(failed...)
}

func joined(temp, name string) string {
	return strings.TrimRight(temp, `/\`) + string(os.PathSeparator) + name
}

// folders are the names in the temp folder that [NewFolder] makes.
func folders(root *os.Root) (names []string, err error) {
	dir, err := root.Open(".")
	if err != nil {
		return nil, err
	}
	defer dir.Close()
	all, err := dir.Readdirnames(-1)
	for _, name := range all {
		if folderForm.MatchString(name) {
			names = append(names, name)
		}
	}
	return names, err
}

func ofKeys(name string, keys []string) bool {
	for _, key := range keys {
		if key != "" && strings.HasPrefix(name, folderPrefix+key+"-") {
			return true
		}
	}
	return false
}

// hasID reports whether the folder is that of the PAT.
func hasID(root *os.Root, name, id string) bool {
	if id == "" {
		return false
	}
	file := name + "/" + IDFile
	if info, err := root.Lstat(file); err != nil || !info.Mode().IsRegular() || info.Size() != int64(len(id)) {
		return false
	}
	f, err := openNow(root, file)
	if err != nil {
		return false
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, int64(len(id))))
	return err == nil && strings.EqualFold(string(text), id)
}

// openNow opens a file or a folder for reading. Another process can put a named pipe in
// its place, and opening that would wait for a writer.
func openNow(root *os.Root, name string) (*os.File, error) {
	return root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
}

// removeFolder removes a folder with what is in it, also where a step took the right to
// write to it away, or to a folder in it.
func removeFolder(root *os.Root, name string) error {
	err := root.RemoveAll(name)
	if err == nil {
		return nil
	}
	if info, statErr := root.Lstat(name); statErr != nil || !info.IsDir() {
		return err
	}
	_ = fs.WalkDir(root.FS(), name, func(path string, entry fs.DirEntry, _ error) error {
		if entry != nil && entry.IsDir() {
			_ = root.Chmod(path, 0o700) // before it is read
		}
		return nil
	})
	return root.RemoveAll(name)
}
