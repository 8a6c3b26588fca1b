// Package displayname makes the display name of a PAT and reads it back.
//
// Only the name connects a PAT in the user's token list with what minted it. There are
// two forms:
//
//   - "azdo-pat SOURCE KEY" is a lease, the PAT of one CI job. SOURCE is for people. KEY
//     is 16 hex digits that the post step can compute again without any saved state.
//   - "azdo-pat rotated NAME KEY" is a rotated PAT, which a server keeps. All PATs of one
//     consumer share NAME. KEY is 16 random hex digits.
//
// SOURCE never begins with the word rotated, so that no lease passes for a rotated PAT.
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
	// rotatedWord follows the prefix in the name of a rotated PAT.
	rotatedWord = "rotated"
	// maxConsumer is the longest NAME of a rotated PAT.
	maxConsumer = 60
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

	consumer string // NAME of a rotated PAT; empty: a lease
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

// RotatedOrigin returns the origin of a rotated PAT of a consumer, with a random key. The name
// of the consumer must have the form of [IsConsumer].
func RotatedOrigin(consumer string, random io.Reader) Origin {
	if !IsConsumer(consumer) {
		panic(fmt.Sprintf("not the name of a consumer: %q", consumer)) // the settings are validated
	}
	o := Random(rotatedWord+" "+consumer, random)
	o.consumer = consumer
	return o
}

// IsConsumer reports whether text can be NAME of a rotated PAT: 1 to 60 letters, digits,
// dots, underscores and hyphens of ASCII.
func IsConsumer(text string) bool {
	return text != "" && len(text) <= maxConsumer && !strings.ContainsFunc(text, notInWord)
}

// notInWord reports whether a character can be neither in the name of a consumer nor in
// that of a GitHub repository or its owner.
func notInWord(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
}

// DisplayName is the name of the PAT in the user's token list. It has at most
// [MaxLength] characters: SOURCE is shortened where necessary. SOURCE can hold
// text from anywhere, such as the name of a branch, so the name is made safe to
// print in a log and to write as an output.
func (o Origin) DisplayName() string {
	if o.consumer != "" {
		return prefix + rotatedWord + " " + o.consumer + " " + o.Key
	}
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
	source := sanitize.Line(notRotated(sanitize.NoCommands(text)), limit)
	if source == "" {
		source = "-"
	}
	return prefix + source + " " + o.Key
}

// notRotated changes the source of a lease that begins with the word rotated, such as a
// machine of that name.
func notRotated(source string) string {
	if first, rest, _ := strings.Cut(source, " "); first == rotatedWord {
		return strings.TrimSpace(rotatedWord + "- " + rest)
	}
	return source
}
