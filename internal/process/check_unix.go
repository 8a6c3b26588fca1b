//go:build unix

package process

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"azdo-pat/internal/hint"
)

// checkFile says what keeps a program from being started, as far as its first line
// tells.
func checkFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return nil // one may be allowed to start what one may not read
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := f.Read(head)
	head = head[:n]
	line, isScript := bytes.CutPrefix(head, []byte("#!"))
	switch {
	case n == 0:
		return errors.New("the file is empty")
	case !isScript && !bytes.ContainsFunc(head, func(r rune) bool { return r < ' ' && !strings.ContainsRune("\t\n\r\f", r) }):
		return hint.Add(errors.New("the file is a text without a #! line"), "name the program that reads it: -- sh "+path)
	case !isScript:
		return nil
	}
	line, _, _ = bytes.Cut(line, []byte("\n"))
	interpreter, _, _ := strings.Cut(strings.Trim(string(line), " \t"), " ")
	interpreter, _, _ = strings.Cut(interpreter, "\t")
	if err := unix.Access(interpreter, unix.X_OK); err != nil {
		what := ""
		if strings.HasSuffix(interpreter, "\r") {
			what = "the file has the line ends of Windows"
		}
		return hint.Add(fmt.Errorf("the program in its #! line, %q: %w", interpreter, err), what)
	}
	return nil
}
