package ci

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// Terminal is anything that is no CI system that we know: the PAT goes to
// standard output, the log to standard error.
type Terminal struct {
	stdout io.Writer
	json   bool
	host   string
	random io.Reader
	log    *Log
}

// NewTerminal returns the platform of a plain terminal or script.
func NewTerminal(o Options) *Terminal {
	debug, _ := o.LookupEnv("RUNNER_DEBUG")
	return &Terminal{
		stdout: o.Stdout, json: o.JSON, host: o.Host, random: o.Random,
		log: &Log{write: plain{o.Stderr}, debug: debug == "1"},
	}
}

// Mask implements [Platform]: nobody here masks but our own log.
func (t *Terminal) Mask(v secret.Value) error { return t.log.Hide(v) }

// Prepare implements [Platform].
func (t *Terminal) Prepare(displayname.Origin) error {
	if isNullDevice(t.stdout) {
		return errors.New("standard output is closed or the null device: nobody would get the PAT")
	}
	return nil
}

// Record implements [Platform]: there is no post step to read it. What a
// process that was killed leaves behind can be found by its name alone.
func (t *Terminal) Record(string) error { return nil }

// HandOver implements [Platform].
func (t *Terminal) HandOver(r Result) error {
	if t.json {
		return r.writeJSON(t.stdout)
	}
	_, err := fmt.Fprintf(t.stdout, "%s\n", r.Token.Reveal())
	return err
}

// Summary implements [Platform].
func (t *Terminal) Summary(string) error { return nil }

// Origin implements [Platform]. The host is one word without a slash, so that
// neither it nor a label behind it can pass for a run of a GitHub repository.
func (t *Terminal) Origin(label string) displayname.Origin {
	host := strings.NewReplacer(" ", "-", "/", "-").Replace(sanitize.Line(t.host, displayname.MaxLength))
	return displayname.Random(strings.TrimSpace(cmp.Or(host, "-")+" "+label), t.random)
}

// Log implements [Platform].
func (t *Terminal) Log() *Log { return t.log }
