package assertion

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/secret"
)

// File reads the assertion from a file that the CI system keeps up to date, such as a
// projected service account token of Kubernetes.
type File struct{ Path string }

// longestFile is the longest assertion with a line break.
const longestFile = maxLength + 2

// Assertion implements [Source].
func (f *File) Assertion(ctx context.Context) (secret.Value, error) {
	type read struct {
		text []byte
		err  error
	}
	done := make(chan read, 1)
	go func() { // opening a named pipe waits for its writer without a limit
		text, err := f.read()
		done <- read{text, err}
	}()
	var r read
	select {
	case r = <-done:
	case <-ctx.Done():
		r.err = fmt.Errorf("%s: %w", f.Path, ctx.Err())
	}
	if r.err != nil {
		return secret.Value{}, hint.Add(fmt.Errorf("read the assertion from federated-token-file: %w", r.err),
			"check the path, and that an earlier step writes the file; in a container, mount its folder")
	}
	v, err := newAssertion(string(r.text))
	if len(r.text) > longestFile {
		err = errors.New("the file is too large for a token")
	}
	if err == nil {
		// Do not send other contents of the file to Entra.
		_, err = Parse(v)
	}
	if errors.Is(err, ErrNotJWT) {
		if fault := secret.New(strings.TrimSpace(string(r.text))).Fault(); fault != "" {
			err = errors.New("it " + fault)
		}
	}
	if err != nil {
		return secret.Value{}, hint.Add(fmt.Errorf("read the assertion from federated-token-file: %s: %w", f.Path, err),
			"the file must hold the CI system's OIDC token and nothing else")
	}
	return v, nil
}

func (f *File) read() ([]byte, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	return io.ReadAll(io.LimitReader(file, longestFile+1))
}
