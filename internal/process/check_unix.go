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

// checkFile returns what is wrong with the beginning of a program's file.
func checkFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return nil // a program can be executable and not readable
	}
	defer f.Close()
	head := make([]byte, 256)
	n, _ := f.Read(head)
	if n == 0 {
		return errors.New("the file is empty")
	}
	line, isScript := bytes.CutPrefix(head[:n], []byte("#!"))
	if isScript {
		return checkInterpreter(line)
	}
	if bytes.HasPrefix(line, []byte("\ufeff#!")) {
		return hint.Add(errors.New("the file begins with a byte order mark, so the system does not see its #! line"), "save it as UTF-8 without a byte order mark")
	}
	if !bytes.ContainsFunc(line, isBinary) {
		return hint.Add(errors.New("the file is a text without a #! line"), "name the program that reads it: -- sh "+path)
	}
	return nil
}

// isBinary reports whether a character is in no text. DEL begins an ELF file, however
// broken the rest is.
func isBinary(r rune) bool { return r == 0x7f || r < ' ' && !strings.ContainsRune("\t\n\r\f", r) }

// checkInterpreter returns why the program in a #! line cannot be started. The text
// begins after "#!".
func checkInterpreter(text []byte) error {
	line, _, _ := strings.Cut(string(text), "\n")
	interpreter := strings.Trim(line, " \t")
	if end := strings.IndexAny(interpreter, " \t"); end >= 0 {
		interpreter = interpreter[:end]
	}
	err := unix.Access(interpreter, unix.X_OK)
	if err == nil {
		return nil
	}
	err = fmt.Errorf("the program in its #! line, %q: %w", interpreter, err)
	if strings.HasSuffix(interpreter, "\r") {
		return hint.Add(err, "the file has Windows line endings: convert it")
	}
	return err
}
