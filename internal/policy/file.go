package policy

import (
	"errors"
	"fmt"
	"io"
	"os"
)

// ReadFile reads a policy or claims from a regular file of at most [MaxSize] bytes, so
// that neither a device nor a pipe can hold up the program.
func ReadFile(path string) ([]byte, error) {
	info, err := os.Stat(path) // before opening: that would wait for a pipe's writer
	if err != nil {
		return nil, reason(err)
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a regular file")
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, reason(err)
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, MaxSize+1))
	switch {
	case err != nil:
		return nil, reason(err)
	case len(text) > MaxSize:
		return nil, fmt.Errorf("it has more than %d KiB", MaxSize>>10)
	case len(text) == 0:
		return nil, errors.New("it is empty")
	}
	return text, nil
}

// reason is an error of the file system without the path, which the caller names.
func reason(err error) error {
	if e := (*os.PathError)(nil); errors.As(err, &e) {
		return fmt.Errorf("it cannot be read: %w", e.Err)
	}
	return err
}
