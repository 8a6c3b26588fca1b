// Package toolconfig sets up tools with a token for Azure Repos and Azure Artifacts:
// what goes into files, and which variables tell the tool where they are.
//
// Each tool has a file of its own. To add one, write its function and name it in tools.
// The rules for all of them:
//
//   - Only the named organization gets the token. docs/tools.md names the tools that
//     know hosts only.
//   - A variable holds the path of a file. It holds the token itself only where the tool
//     has no other way.
//   - What the caller had configured goes on working: a variable is extended, and a file
//     that ours replaces is copied into it.
//
// [Write] and [Remove] handle the folder that the files are in.
package toolconfig

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"unicode"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/nearest"
	"azdo-pat/internal/secret"
)

// tool is how one tool is set up.
type tool struct {
	name string
	// feeds: the tool needs at least one feed.
	feeds bool
	setUp func(*plan) error
}

// tools are those that can be set up, in the order of the documentation.
var tools = []tool{
	{"git", false, setUpGit},
	{"npm", true, setUpNPM},
	{"pip", true, setUpPip},
	{"nuget", true, setUpNuGet},
	{"maven", true, setUpMaven},
	{"cargo", true, setUpCargo},
	{"az", false, setUpAz},
}

// Names are the names of the tools.
func Names() (names []string) {
	for _, t := range tools {
		names = append(names, t.name)
	}
	return names
}

// ParseTools reads the names of tools, separated by white space or commas. It returns
// each of them once.
func ParseTools(text string) (names []string, err error) {
	for _, name := range split(text) {
		if !slices.Contains(Names(), name) {
			return nil, unknownTool(name)
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return nil, unknownTool("")
	}
	return names, nil
}

// unknownTool is the error of a name that is not a tool's. It says what is allowed.
func unknownTool(name string) error {
	text := "tools, separated by white space or commas: " + strings.Join(Names(), ", ")
	if near, ok := nearest.Name(name, Names()); ok {
		text += "; the nearest name is " + near
	}
	return errors.New(text)
}

// NeedFeed returns those of the named tools that need a feed.
func NeedFeed(names []string) (need []string) {
	for _, t := range tools {
		if t.feeds && slices.Contains(names, t.name) {
			need = append(need, t.name)
		}
	}
	return need
}

// split splits a list at white space and commas.
func split(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || unicode.IsSpace(r) })
}

// Options are what the tools are set up with.
type Options struct {
	// Organization is the bare name.
	Organization string
	// Tools are names that [ParseTools] returned.
	Tools []string
	Feeds []Feed
	// Folder is the path of the folder of the files as the tools see it.
	Folder string
	// InContainer is its path in a later container action of the same job, where that
	// differs. Empty: it does not.
	InContainer string
	// LookupEnv reads the caller's environment, as [os.LookupEnv] does.
	LookupEnv func(string) (string, bool)
}

// File is a file in the folder, readable by the job's user alone.
type File struct {
	Name    string
	Content []byte
}

// Variable is a variable of the tools' environment.
type Variable struct{ Name, Value string }

// Config is how the tools are set up.
type Config struct {
	Files     []File
	Variables []Variable
	// Notes say what a tool needs besides, a sentence each.
	Notes []string
	// Warnings name what stops working.
	Warnings []string
}

// Build makes the configuration of the tools. An error depends on the options and the
// caller's environment, but not on the token.
func Build(o Options, token secret.Value) (*Config, error) {
	p := &plan{Options: o, token: token, config: &Config{}}
	for _, t := range tools {
		if !slices.Contains(o.Tools, t.name) {
			continue
		}
		if err := t.setUp(p); err != nil {
			return nil, fmt.Errorf("configure %s: %w", t.name, err)
		}
	}
	return p.config, nil
}

// plan is a configuration that is being made.
type plan struct {
	Options
	token  secret.Value
	config *Config
}

// env is a variable of the caller, or of a tool that was set up before.
func (p *plan) env(name string) string {
	for _, v := range p.config.Variables {
		if v.Name == name {
			return v.Value
		}
	}
	value, _ := p.LookupEnv(name)
	return value
}

// set sets a variable.
func (p *plan) set(name, value string) {
	p.config.Variables = append(slices.DeleteFunc(p.config.Variables, func(v Variable) bool { return v.Name == name }), Variable{name, value})
}

// file adds a file and returns its path as the tools see it.
func (p *plan) file(name, content string) string {
	p.config.Files = append(p.config.Files, File{name, []byte(content)})
	return p.pathOf(name)
}

func (p *plan) pathOf(name string) string {
	if path.IsAbs(p.Folder) {
		return path.Join(p.Folder, name)
	}
	return filepath.Join(p.Folder, name) // Windows
}

func (p *plan) note(format string, args ...any) {
	p.config.Notes = append(p.config.Notes, fmt.Sprintf(format, args...))
}

func (p *plan) warn(format string, args ...any) {
	p.config.Warnings = append(p.config.Warnings, fmt.Sprintf(format, args...))
}

// noSpace refuses a folder whose path the tool would split.
func (p *plan) noSpace(reads string) error {
	if !strings.ContainsFunc(p.Folder, unicode.IsSpace) {
		return nil
	}
	return hint.Add(fmt.Errorf("the path of the temp folder, %s, has a space, at which %s is split", p.Folder, reads),
		"configure the runner with a folder without spaces in its path")
}

// maxCallersFile bounds a file of the caller that is copied, in bytes.
const maxCallersFile = 1 << 20

// callersFile reads the file that ours replaces: the one that the variable names, or the
// one of that name in the home folder. It returns nothing if there is none.
func (p *plan) callersFile(variable, inHome string) (string, error) {
	name, named := p.env(variable), true
	if name == "" {
		home := p.home()
		if home == "" {
			return "", nil
		}
		name, named = filepath.Join(home, inHome), false
	}
	text, err := readCallersFile(name)
	switch {
	case errors.Is(err, os.ErrNotExist) && named:
		p.warn("the file that %s names is not there for azdo-pat, so what it holds is not copied: %s", variable, name)
		return "", nil
	case errors.Is(err, os.ErrNotExist):
		return "", nil
	case err != nil:
		return "", fmt.Errorf("read the file that is to go on working, %s: %w", name, err)
	}
	return text, nil
}

// home is the caller's home folder; empty: there is none.
func (p *plan) home() string { return cmp.Or(p.env("HOME"), p.env("USERPROFILE")) }

func readCallersFile(name string) (string, error) {
	info, err := os.Stat(name)
	if err != nil {
		return "", err
	}
	if !info.Mode().IsRegular() { // a pipe would block
		return "", errors.New("it is not a regular file")
	}
	f, err := os.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxCallersFile+1))
	if err == nil && len(text) > maxCallersFile {
		err = errors.New("it is larger than 1 MiB")
	}
	return strings.TrimPrefix(string(text), "\ufeff"), err // a byte order mark
}
