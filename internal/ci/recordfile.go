package ci

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"azdo-pat/internal/hint"
)

// recordFile stores the record of a lease, one line without a secret, for a later step
// of the same job. It is also a lock: the process that creates the file owns the lease
// until another one writes to the file. So a mint that outlives its step notices that
// revoke has closed the lease, before it sends a create request. (When the agent cancels
// a step, it stops the shell but not the programs that the shell started.)
type recordFile struct {
	path string // empty: there is none
	last string // what this process wrote last
}

// errEnded is the error of a process that no longer holds the lease.
var errEnded = errors.New("another process has ended this lease in the meantime")

// errLost is the error of a record that cannot be read back.
var errLost = errors.New("the record is not there after it was written")

// maxRecord bounds what is read, in bytes.
const maxRecord = 64 << 10

// begin removes the record of an earlier lease of the same name.
func (r *recordFile) begin() error {
	if r.path == "" {
		return nil
	}
	if err := os.Remove(r.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("make room for the record of the lease: %w", err)
	}
	return nil
}

// write keeps a line; the last one counts.
func (r *recordFile) write(line string) error {
	switch {
	case r.path == "":
		return nil
	case r.last == "":
		return r.create(line)
	case r.read() != r.last:
		return errEnded
	}
	return r.replace(line)
}

// create creates the file. If the process is killed meanwhile, the file holds an
// unreadable record.
func (r *recordFile) create(line string) error {
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return errEnded
	}
	if err != nil {
		return hint.Add(err, tempDirectory+" must be a folder that azdo-pat can write to; where it runs in a container that the step starts, mount it there")
	}
	_, err = f.WriteString(line + "\n")
	err = errors.Join(err, f.Close())
	if err != nil {
		_ = os.Remove(r.path)
		return err
	}
	return r.written(line)
}

// written reads the line back.
func (r *recordFile) written(line string) error {
	switch r.read() {
	case line:
		r.last = line
		return nil
	case "":
		return errLost
	}
	return errEnded
}

// replace replaces the line atomically: a killed process leaves the old one or the new.
func (r *recordFile) replace(line string) error {
	if r.path == "" {
		return nil
	}
	name, err := newFile(filepath.Dir(r.path), filepath.Base(r.path)+".*", line+"\n")
	if err != nil {
		return err
	}
	if err := os.Rename(name, r.path); err != nil {
		_ = os.Remove(name)
		return err
	}
	return r.written(line)
}

// close creates the file unless it exists, and returns its record, which is empty if
// it cannot be read. known is false if the file cannot be created.
func (r *recordFile) close(line string) (recorded string, known bool) {
	if r.path == "" {
		return "", false
	}
	switch err := r.create(line); {
	case err == nil:
		return line, true
	case errors.Is(err, errEnded):
		return r.read(), true
	}
	return "", false
}

// read returns the line in the file, or nothing.
func (r *recordFile) read() string {
	// Another step may have planted a named pipe, and opening it would block.
	if info, err := os.Lstat(r.path); err != nil || !info.Mode().IsRegular() {
		return ""
	}
	f, err := os.Open(r.path)
	if err != nil {
		return ""
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxRecord))
	if err != nil {
		return ""
	}
	return strings.TrimSuffix(string(text), "\n")
}

// newFile creates a file that all users can read: the agent and other steps may run as
// other users.
func newFile(dir, pattern, text string) (name string, err error) {
	f, err := os.CreateTemp(dir, pattern)
	if err != nil {
		return "", err
	}
	_, err = f.WriteString(text)
	err = errors.Join(err, f.Close(), os.Chmod(f.Name(), 0o644))
	if err != nil {
		_ = os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}
