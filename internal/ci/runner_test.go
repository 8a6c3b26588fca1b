package ci

import (
	"strings"

	"azdo-pat/internal/fakes/dotnet"
	"azdo-pat/internal/fakes/githubrunner"
)

// commands lists the commands that GitHub's runner finds in output.
func commands(output string) []githubrunner.Command {
	var all []githubrunner.Command
	for _, line := range dotnet.Lines(output) {
		if c, ok := githubrunner.ParseLine(line); ok {
			all = append(all, c)
		}
	}
	return all
}

// vso reports whether output holds what Azure Pipelines could take for a command
// or for formatting.
func vso(output string) bool {
	output = strings.ToLower(output)
	return strings.Contains(output, "##vso[") || strings.Contains(output, "##[")
}

// pair is a name and a value of a command file.
type pair struct{ name, value string }

// pairs reads a command file as the runner does.
func pairs(file string) ([]pair, error) {
	parsed, err := githubrunner.ParsePairs(file)
	var all []pair
	for _, p := range parsed {
		all = append(all, pair{p.Name, p.Value})
	}
	return all, err
}
