// Package displayname makes the display name of a PAT and reads it back.
//
// Only the name, "azdo-pat SOURCE KEY", connects a PAT in the user's token list with the
// job that minted it. SOURCE is for people. KEY is 16 hex digits
// that the post step can compute again without any saved state.
package displayname

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"

	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

const (
	// MaxLength is the longest display name, in characters.
	MaxLength = 128
	// prefix starts every display name.
	prefix    = "azdo-pat "
	keyLength = 16
)

// Origin describes the job and step that mint a PAT.
type Origin struct {
	// Source names repository, run and job, or the host.
	Source string
	// Key is 16 hex digits that no other job, matrix leg or step shares.
	Key string
	// Derived reports that a later process can compute Key again: the post step
	// of the same step, or in Azure Pipelines a later step of the same job.
	// Otherwise Key is random.
	Derived bool
}

// Derive returns an origin whose key is derived from a secret of the job and from
// the parts that tell its steps apart. The secret cannot be computed from the key.
func Derive(source string, job secret.Value, parts ...string) Origin {
	h := hmac.New(sha256.New, []byte(job.Reveal()))
	for _, part := range parts {
		fmt.Fprintf(h, "%d:%s,", len(part), part)
	}
	return Origin{Source: source, Key: hex.EncodeToString(h.Sum(nil))[:keyLength], Derived: true}
}

// Random returns an origin with a random key.
func Random(source string, random io.Reader) Origin {
	var b [keyLength / 2]byte
	if _, err := io.ReadFull(random, b[:]); err != nil {
		panic("no randomness: " + err.Error()) // crypto/rand never fails
	}
	return Origin{Source: source, Key: hex.EncodeToString(b[:])}
}

// DisplayName is the name of the PAT in the user's token list. It has at most
// [MaxLength] characters: SOURCE is shortened where necessary. SOURCE can hold
// text from anywhere, such as the name of a branch, so the name is made safe to
// print in a log and to write as an output.
func (o Origin) DisplayName() string {
	limit := MaxLength - utf8.RuneCountInString(prefix) - 1 - len(o.Key)
	// The server counts UTF-16 code units, so a character beyond the basic plane
	// would count as two.
	basic := strings.Map(func(r rune) rune {
		if r > 0xFFFF {
			return '?'
		}
		return r
	}, o.Source)
	text := strings.ReplaceAll(sanitize.Line(basic, 10*limit), sanitize.OutputDelimiter, "-")
	source := sanitize.Line(sanitize.NoCommands(text), limit)
	if source == "" {
		source = "-"
	}
	return prefix + source + " " + o.Key
}
