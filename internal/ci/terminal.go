package ci

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"strings"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/displayname"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// Terminal is everything but a known CI system: the PAT goes to standard output, the log
// to standard error.
type Terminal struct {
	env    func(string) (string, bool)
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
		env: o.LookupEnv, stdout: o.Stdout, json: o.JSON, host: o.Host, random: o.Random,
		log: &Log{write: plain{o.Stderr}, debug: debug == "1"},
	}
}

// Info implements [Platform].
func (t *Terminal) Info() Info { return Info{Name: "terminal"} }

// Status implements [Platform].
func (t *Terminal) Status() Status {
	return Status{Seen: "no CI system that azdo-pat knows", Ready: "a PAT would go to standard output"}
}

// LookupEnv implements [Platform].
func (t *Terminal) LookupEnv(name string) (string, bool) { return t.env(name) }

// Provider implements [Platform].
func (t *Terminal) Provider() assertion.Provider { return assertion.Provider{} }

// Credentials implements [Platform].
func (t *Terminal) Credentials() []secret.Value { return nil }

// Mask implements [Platform]. Only azdo-pat's own log redacts here.
func (t *Terminal) Mask(v secret.Value) error { return t.log.Hide(v) }

// Prepare implements [Platform].
func (t *Terminal) Prepare(displayname.Origin) error {
	if isNullDevice(t.stdout) {
		return hint.Add(errors.New("standard output is closed or the null device: the PAT would be lost"),
			"read the PAT, as in pat=$(azdo-pat mint …), or let azdo-pat exec hand it to a command")
	}
	return nil
}

// Record implements [Platform]. It does nothing, since no later process would read the
// record. A PAT that a killed process leaves behind can be found only by its name.
func (t *Terminal) Record(string) error { return nil }

// Recorded implements [Platform].
func (t *Terminal) Recorded(displayname.Origin) (string, bool) { return "", false }

// Close implements [Platform].
func (t *Terminal) Close(displayname.Origin, string) (string, bool) { return "", false }

// Closed implements [Platform].
func (t *Terminal) Closed(string) {}

// SucceedWithIssues implements [Platform].
func (t *Terminal) SucceedWithIssues() {}

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

// TempFolder implements [Platform].
func (t *Terminal) TempFolder() string { return "" }

// PrepareVariables implements [Platform].
func (t *Terminal) PrepareVariables([]Variable) error { return errNoLaterSteps }

// SetVariables implements [Platform].
func (t *Terminal) SetVariables([]Variable) error { return errNoLaterSteps }

var errNoLaterSteps = errors.New("there are no later steps whose variables could be set")

// Origin implements [Platform]. The host is one word without a slash, so that
// neither it nor a label after it can look like a run of a GitHub repository.
func (t *Terminal) Origin(label string) displayname.Origin {
	host := strings.NewReplacer(" ", "-", "/", "-").Replace(sanitize.Line(t.host, displayname.MaxLength))
	return displayname.Random(strings.TrimSpace(cmp.Or(host, "-")+" "+label), t.random)
}

// Log implements [Platform].
func (t *Terminal) Log() *Log { return t.log }
