package ci

import (
	"io"
	"strings"

	"azdo-pat/internal/assertion"
	"azdo-pat/internal/displayname"
	"azdo-pat/internal/secret"
)

// Platform is the CI system that the program runs in, or a plain terminal. Callers
// ask it what it can do, never which one it is: a new CI system is one type and
// one line in [Detect]. A platform without some feature returns the zero value for it.
type Platform interface {
	// Info describes the platform.
	Info() Info
	// Status reports on this job, for azdo-pat check.
	Status() Status
	// LookupEnv reads a variable of the job, as [os.LookupEnv] does.
	LookupEnv(name string) (string, bool)
	// Provider issues the job's assertions.
	Provider() assertion.Provider
	// Credentials are the platform's own, which the job must not log.
	Credentials() []secret.Value
	// Origin describes this job and step, for the PAT's display name.
	Origin(label string) displayname.Origin
	// Log is the job's log.
	Log() *Log

	// Mask keeps a credential out of the CI system's log and out of azdo-pat's. The
	// zero secret is ignored. If it fails, the credential must not be used.
	Mask(secret.Value) error
	// Prepare reports whether [Platform.Record] and [Platform.HandOver] will work
	// for a lease, before there is anything to hand over.
	Prepare(displayname.Origin) error
	// Record stores a line for the process that revokes the PAT, in place of the last one.
	Record(line string) error
	// HandOver passes the PAT to the later steps of the job, or to the caller.
	HandOver(Result) error
	// Summary adds Markdown to the summary of the job.
	Summary(markdown string) error
	// TempFolder is the job's folder for temporary files as this process sees it; empty:
	// there is none.
	TempFolder() string
	// PrepareVariables reports whether [Platform.SetVariables] will work. It writes
	// nothing.
	PrepareVariables([]Variable) error
	// SetVariables sets variables of the environment of the job's later steps.
	SetVariables([]Variable) error

	// Recorded returns what an earlier step recorded about a lease.
	Recorded(displayname.Origin) (line string, ok bool)
	// Close makes sure that no process starts this lease any more: if there is no
	// record, it writes the line closed. It returns the record; known is false if
	// records cannot be read. Other steps can write there too, so the record may be
	// forged.
	Close(o displayname.Origin, closed string) (recorded string, known bool)
	// Closed records that no PAT of the lease that [Platform.Close] closed is left. If
	// that fails, the next revoke searches for the PAT again.
	Closed(line string)
	// SucceedWithIssues marks a step that does not fail as one with issues.
	SucceedWithIssues()
}

// Info describes a platform; it is the same for every job.
type Info struct {
	Name string // for people
	// CI tells that this is a CI system: standard output is the log that it reads.
	CI bool
	// ActionInputs tells that settings are inputs of a GitHub action.
	ActionInputs bool
	// Cleanup is the process that revokes what an earlier step minted.
	Cleanup Cleanup
	// TempVariable and WorkspaceVariable name the variables with the job's folder for
	// temporary files and with that for its sources. Empty: there is none.
	TempVariable, WorkspaceVariable string
}

// CredentialVariables are the variables in which a CI system gives a job credentials of
// its own and, on GitHub, the URL to use them at.
var CredentialVariables = []string{requestTokenVariable, requestURLVariable, runtimeTokenVariable, accessTokenVariable}

// Variable is a variable of the environment.
type Variable struct{ Name, Value string }

// Cleanup is the later process that revokes a PAT that was handed over.
type Cleanup int

// The kinds of [Cleanup].
const (
	NoCleanup  Cleanup = iota // the caller has to revoke it by its id
	PostStep                  // the action's post step
	RevokeStep                // a step of the same job that runs azdo-pat revoke
)

// Status is what check reports on a job.
type Status struct {
	Seen  string // what started the job
	Ready string // what mint can use here, if Err is nil
	Err   error  // why mint would fail here
}

// Options of the platforms.
type Options struct {
	LookupEnv func(string) (string, bool)
	Stdout    io.Writer
	Stderr    io.Writer
	Random    io.Reader
	// JSON asks for the result as an object on standard output, and for the
	// log on standard error.
	JSON bool
	// Host is the name of this machine.
	Host string
	// Previous is the platform that the new one replaces in this process, or nil. The
	// new one continues its record.
	Previous Platform
}

// Detect returns the platform that the program runs on.
func Detect(o Options) Platform {
	if v, _ := o.LookupEnv("GITHUB_ACTIONS"); v == "true" {
		return NewGitHub(o)
	}
	if v, _ := o.LookupEnv("TF_BUILD"); strings.EqualFold(v, "true") {
		return NewAzurePipelines(o)
	}
	return NewTerminal(o)
}
