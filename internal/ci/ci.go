// Package ci is the CI system that the program runs in: GitHub Actions, Azure
// Pipelines, or none. A [Platform] masks credentials, sets outputs, keeps the record
// that the revoking process reads, writes the log, and knows where the job gets an
// assertion.
//
// The rules of its output:
//
//   - A credential is masked before it can appear anywhere, and redacted from later log
//     lines, also in its usual encodings.
//   - Log lines and logging commands go to one stream, in one order.
//   - Text from outside is one line of limited length within a line of ours, and
//     never becomes a logging command.
//   - An output has no line break.
package ci

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// Result is what mint hands over: a PAT, or an Entra token, which has no id, name and
// scopes.
type Result struct {
	Token           secret.Value
	AuthorizationID string
	ExpiresAt       time.Time
	DisplayName     string
	Scopes          []string
	Type            string // a value of the setting token-type
}

// field is a value under its name.
type field struct{ name, value string }

// fields lists the outputs, the empty ones too: in Azure Pipelines the macro of a
// variable that is not set stays as it is. The token is the last, so that it stays here
// if another one cannot be written.
func (r Result) fields() []field {
	return []field{
		{"authorization-id", r.AuthorizationID},
		{"expires-at", r.ExpiresAt.UTC().Format(time.RFC3339)},
		{"display-name", r.DisplayName},
		{"scopes", strings.Join(r.Scopes, " ")},
		{"token-type", r.Type},
		{"token", r.Token.Reveal()},
	}
}

// writeJSON writes the result as one object on one line, which cannot hold a
// logging command.
func (r Result) writeJSON(w io.Writer) error {
	object := map[string]string{}
	for _, f := range r.fields() {
		object[f.name] = f.value
	}
	line, err := json.Marshal(object)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(w, "%s\n", sanitize.JSON(line))
	return err
}

// ErrTooShort is the error of a value so short that its mask would hide ordinary text.
var ErrTooShort = fmt.Errorf("mask a credential in the log: it has fewer than %d characters, so it is not a credential", secret.MinLength)

// unmaskable returns the error of a value whose mask would hide ordinary text: CI
// systems mask each line of a value separately.
func unmaskable(v secret.Value) error {
	if v.TooShort() {
		return ErrTooShort
	}
	for line := range strings.FieldsFuncSeq(v.Reveal(), func(r rune) bool { return r == '\r' || r == '\n' }) {
		if strings.TrimSpace(line) != "" && secret.New(line).TooShort() {
			return ErrTooShort
		}
	}
	return nil
}

// MaskPAT masks a PAT, or an Entra token in its place, together with the two forms in
// which an Authorization header carries it: base64(PAT) and base64(":"+PAT).
func MaskPAT(p Platform, pat secret.Value) error {
	if pat.IsZero() {
		return nil
	}
	for _, form := range []string{
		pat.Reveal(),
		base64.StdEncoding.EncodeToString([]byte(pat.Reveal())),
		base64.StdEncoding.EncodeToString([]byte(":" + pat.Reveal())),
	} {
		if err := p.Mask(secret.New(form)); err != nil {
			return err
		}
	}
	return nil
}

// isNullDevice reports whether w discards what is written to it. A standard stream
// that was closed is the null device too: Go's runtime opens it there.
func isNullDevice(w io.Writer) bool {
	f, ok := w.(interface{ Stat() (os.FileInfo, error) })
	if !ok {
		return false
	}
	null, err := os.Stat(os.DevNull)
	if err != nil {
		return false
	}
	info, err := f.Stat()
	return err == nil && os.SameFile(info, null)
}

// isRegularFile reports whether what is written to w goes into a file.
func isRegularFile(w io.Writer) bool {
	f, ok := w.(interface{ Stat() (os.FileInfo, error) })
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode().IsRegular()
}

// errUnseen is the error of a log that the CI system cannot read.
var errUnseen = hint.Add(errors.New("the log goes to the null device: the CI system would not see the masks"),
	"leave standard output and standard error open: the CI system reads the masks there")

// warnOfFile warns that masks have no effect in a file. This is not an error, because
// the CI system itself may read that file.
func warnOfFile(log *Log) {
	log.Warning("log in a file", "the log goes to a file, so the CI system may not see the masks and the PAT may show in the logs of later steps; "+
		"do not redirect the output of azdo-pat mint: with --output json standard output may be redirected")
}
