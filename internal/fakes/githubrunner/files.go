// Package githubrunner is a fake of GitHub's runner for tests and for the demo. It
// creates the command files of a step, reads them by the runner's rules, and reads and
// masks a log as the runner does. It is never linked into the shipped binary.
package githubrunner

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"azdo-pat/internal/fakes/dotnet"
)

// Step is one step of a job: its command files.
type Step struct{ dir string }

// NewStep creates the command files of a step in a new directory below dir.
func NewStep(dir string) (*Step, error) {
	dir, err := os.MkdirTemp(dir, "step")
	if err != nil {
		return nil, err
	}
	s := &Step{dir}
	for _, name := range s.Env() {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// Env returns the variables that name the command files.
func (s *Step) Env() map[string]string {
	env := map[string]string{}
	for _, name := range []string{"GITHUB_OUTPUT", "GITHUB_STATE", "GITHUB_STEP_SUMMARY", "GITHUB_ENV", "GITHUB_PATH"} {
		env[name] = filepath.Join(s.dir, strings.ToLower(name))
	}
	return env
}

// Outputs reads the step's outputs.
func (s *Step) Outputs() (map[string]string, error) {
	pairs, err := s.pairs("GITHUB_OUTPUT")
	for i, pair := range pairs {
		if pair.Name == "" {
			return Fold(pairs[:i]), errors.New("GITHUB_OUTPUT: an output without a name")
		}
	}
	return Fold(pairs), err
}

// State reads the step's state and returns it as variables of its post step.
func (s *Step) State() (map[string]string, error) {
	pairs, err := s.pairs("GITHUB_STATE")
	state := map[string]string{}
	for name, value := range Fold(pairs) {
		state["STATE_"+name] = value
	}
	return state, err
}

// Variables reads the variables that the step sets for later ones.
func (s *Step) Variables() (map[string]string, error) {
	pairs, err := s.pairs("GITHUB_ENV")
	variables := map[string]string{}
	for _, pair := range pairs { // on Linux case counts
		variables[pair.Name] = pair.Value
	}
	return variables, err
}

// maxSummary is the largest summary, in bytes, that the runner uploads.
const maxSummary = 1 << 20

// Summary reads the step's summary.
func (s *Step) Summary() (string, error) {
	text, err := os.ReadFile(s.Env()["GITHUB_STEP_SUMMARY"])
	if len(text) > maxSummary {
		return "", fmt.Errorf("GITHUB_STEP_SUMMARY: %d bytes are more than the runner uploads", len(text))
	}
	return dotnet.Decode(string(text)), err
}

func (s *Step) pairs(file string) ([]Pair, error) {
	text, err := os.ReadFile(s.Env()[file])
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	pairs, err := ParsePairs(string(text))
	if err != nil {
		err = fmt.Errorf("%s: %w", file, err)
	}
	return pairs, err
}

// Pair is a name and its value in a command file.
type Pair struct{ Name, Value string }

// Fold returns the outputs, or the state, that pairs set. Names that differ only in case
// are the same: the first spelling and the last value count.
func Fold(pairs []Pair) map[string]string {
	folded, spelling := map[string]string{}, map[string]string{}
	for _, pair := range pairs {
		key := strings.ToUpper(pair.Name)
		if _, ok := spelling[key]; !ok {
			spelling[key] = pair.Name
		}
		folded[spelling[key]] = pair.Value
	}
	return folded
}

// ParsePairs reads a command file as the runner does on Linux: NAME=VALUE, or
// NAME<<DELIMITER, lines, DELIMITER. Only a line feed ends a line. The pairs before a
// malformed line count, and are returned with the error.
func ParsePairs(file string) ([]Pair, error) {
	var pairs []Pair
	text := dotnet.Decode(file)
	for text != "" {
		var line string
		line, text, _ = strings.Cut(text, "\n")
		if line == "" {
			continue
		}
		equals, heredoc := strings.Index(line, "="), strings.Index(line, "<<")
		switch {
		case equals >= 0 && (heredoc < 0 || equals < heredoc):
			pairs = append(pairs, Pair{line[:equals], line[equals+1:]})
		case heredoc > 0 && line[heredoc+2:] != "":
			name, delimiter := line[:heredoc], line[heredoc+2:]
			var value []string
			for {
				next, rest, ended := strings.Cut(text, "\n")
				if next == delimiter {
					text = rest
					break
				}
				if !ended {
					return pairs, errors.New("a value does not end with its delimiter")
				}
				value, text = append(value, next), rest
			}
			pairs = append(pairs, Pair{name, strings.Join(value, "\n")})
		default:
			return pairs, fmt.Errorf("malformed line %q", line)
		}
	}
	return pairs, nil
}
