package ci

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/sanitize"
)

// commandFile is a file through which a step tells the runner something, such as
// GITHUB_OUTPUT. An entry is useful only if the runner can read it, so the file is
// checked before it is written to and read back afterwards.
// https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands#environment-files
type commandFile struct{ name, path string }

// maxCommandFile bounds what is read of a command file, in bytes.
const maxCommandFile = 4 << 20

// open opens the file for reading and appending. The runner creates a regular file.
// Anything else was put there by another step: through a link into the workspace the
// PAT would be left there, and opening a pipe would block.
func (c commandFile) open() (*os.File, error) {
	if c.path == "" {
		return nil, hint.Add(fmt.Errorf("%s is not set", c.name), "the runner sets it for every step; hand it through to where azdo-pat runs")
	}
	f, err := c.openRegular()
	if err != nil {
		return nil, hint.Add(fmt.Errorf("%s cannot be written: %w", c.name, err), unopened(err))
	}
	return f, nil
}

// unopened is the hint for a command file that cannot be opened.
func unopened(err error) string {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return "the container must run as root, as GitHub requires it of container actions"
	case errors.Is(err, fs.ErrNotExist):
		return "the runner makes this file; in a container its folder must be mounted, and the variable must have the path inside the container"
	}
	return "the runner makes this file and sets the variable; do not change either"
}

func (c commandFile) openRegular() (*os.File, error) {
	info, err := os.Lstat(c.path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		switch mode := info.Mode(); {
		case mode.IsRegular():
		case mode.IsDir():
			return nil, &fs.PathError{Op: "open", Path: c.path, Err: errors.New("is a directory")}
		case mode&fs.ModeSymlink != 0:
			return nil, fmt.Errorf("%s is a symbolic link, not the runner's file", c.path)
		default:
			return nil, fmt.Errorf("%s is not a regular file", c.path)
		}
	}
	return os.OpenFile(c.path, os.O_APPEND|os.O_CREATE|os.O_RDWR, 0o644)
}

// check reports why the runner would not read what is appended to the file.
func (c commandFile) check() error {
	f, err := c.open()
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = c.content(f)
	return err
}

// content reads what the file holds and makes sure that the runner can read it.
func (c commandFile) content(f *os.File) ([]byte, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("read %s: %w", c.name, err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxCommandFile+1))
	if err == nil && len(text) > maxCommandFile {
		err = hint.Add(errors.New("it is larger than 4 MiB"),
			"an earlier command of this step wrote most of that; let it write less, or run azdo-pat in a step of its own")
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", c.name, err)
	}
	if _, err := parsePairs(text); err != nil {
		return nil, hint.Add(fmt.Errorf("%s holds what the runner cannot read, and what follows it would be lost: %w", c.name, err),
			"an earlier command of this step wrote that; it must write lines NAME=VALUE, in UTF-8")
	}
	return text, nil
}

// add appends names with their values in one write, and reads them back. A partial
// write, as on a full disk, is undone: half a line would fail the step.
func (c commandFile) add(fields ...field) error {
	f, err := c.open()
	if err != nil {
		return err
	}
	defer f.Close()
	before, err := c.content(f)
	if err != nil {
		return err
	}
	var text strings.Builder
	if len(before) > 0 && before[len(before)-1] != '\n' {
		text.WriteByte('\n') // or the first name becomes part of the line before it
	}
	for _, v := range fields {
		fmt.Fprintf(&text, "%s<<%s\n%s\n%s\n", v.name, sanitize.OutputDelimiter, v.value, sanitize.OutputDelimiter)
	}
	if err := c.write(f, text.String(), int64(len(before))); err != nil {
		return err
	}
	return c.readBack(f, fields)
}

// holds reports whether the file exists and has that value.
func (c commandFile) holds(v field) bool {
	if _, err := os.Lstat(c.path); err != nil {
		return false // openRegular would create it
	}
	f, err := c.openRegular()
	if err != nil {
		return false
	}
	defer f.Close()
	text, err := c.content(f)
	if err != nil {
		return false
	}
	pairs, _ := parsePairs(text)
	return pairs[firstSpelling(pairs, v.name)] == v.value
}

// addText appends free text, such as the summary.
func (c commandFile) addText(text string) error {
	f, err := c.open()
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return c.write(f, text, info.Size())
}

func (c commandFile) write(f *os.File, text string, before int64) error {
	if _, err := io.WriteString(f, text); err != nil {
		_ = f.Truncate(before)
		return fmt.Errorf("write to %s: %w", c.name, err)
	}
	return nil
}

// readBack makes sure that the runner will find the values under the file's name.
func (c commandFile) readBack(written *os.File, fields []field) error {
	lost := func(err error) error { return fmt.Errorf("what was written to %s is not there: %w", c.name, err) }
	f, err := c.openRegular()
	if err != nil {
		return lost(err)
	}
	defer f.Close()
	was, err := written.Stat()
	if err != nil {
		return lost(err)
	}
	is, err := f.Stat()
	if err != nil || !os.SameFile(was, is) {
		return lost(errors.New("it was replaced by another file"))
	}
	text, err := c.content(f)
	if err != nil {
		return err
	}
	pairs, _ := parsePairs(text)
	for _, v := range fields {
		spelling := v.name
		if c.name == outputFile {
			spelling = firstSpelling(pairs, v.name) // expressions do not tell cases apart
		}
		if pairs[spelling] != v.value {
			return lost(errors.New("the runner would read another value of " + v.name))
		}
	}
	return nil
}

// parsePairs reads a command file as the runner does: NAME=VALUE, or
// NAME<<DELIMITER, lines, DELIMITER. It is an error if a line is neither or a
// value has no end: the runner gives up there. Names that differ only in case are
// one, with the spelling of the first and the value of the last.
func parsePairs(text []byte) (map[string]string, error) {
	for _, mark := range []string{"\xff\xfe", "\xfe\xff", "\x00\x00\xfe\xff"} {
		if bytes.HasPrefix(text, []byte(mark)) {
			return nil, errors.New("it is not in UTF-8")
		}
	}
	pairs := map[string]string{}
	rest := strings.TrimPrefix(string([]rune(string(text))), "\ufeff") // with invalid bytes as U+FFFD
	for n := 1; rest != ""; n++ {
		var line string
		line, rest, _ = strings.Cut(rest, "\n")
		equals, heredoc := strings.Index(line, "="), strings.Index(line, "<<")
		switch {
		case line == "":
		case equals == 0 || heredoc == 0 || equals < 0 && heredoc < 0:
			return nil, fmt.Errorf("line %d is not NAME=VALUE", n)
		case equals >= 0 && (heredoc < 0 || equals < heredoc):
			pairs[firstSpelling(pairs, line[:equals])] = line[equals+1:]
		case line[heredoc+2:] == "":
			return nil, fmt.Errorf("line %d has no delimiter after <<", n)
		default:
			name, end, start := line[:heredoc], line[heredoc+2:], n
			var value []string
			for {
				var next string
				var ended bool
				next, rest, ended = strings.Cut(rest, "\n")
				n++
				if next == end {
					break
				}
				if !ended {
					return nil, fmt.Errorf("the value that begins in line %d has no end", start)
				}
				value = append(value, next)
			}
			pairs[firstSpelling(pairs, name)] = strings.Join(value, "\n")
		}
	}
	return pairs, nil
}

// firstSpelling is the name under which pairs has name, or else name itself.
func firstSpelling(pairs map[string]string, name string) string {
	if _, ok := pairs[name]; ok {
		return name
	}
	upper := strings.ToUpper(name)
	for known := range pairs {
		if strings.ToUpper(known) == upper {
			return known
		}
	}
	return name
}
