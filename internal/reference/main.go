// Command reference writes docs/reference.md and the table of inputs in README.md, from
// the same descriptions as --help.
//
//	go run ./internal/reference
//
// A test fails where the files differ from what it writes.
package main

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"azdo-pat/internal/cli"
	"azdo-pat/internal/settings"
)

// The files, from the repository's root.
const (
	readme    = "README.md"
	reference = "docs/reference.md"
)

// The table of inputs stands between these lines of README.md.
const (
	inputsBegin = "<!-- inputs: written by go run ./internal/reference -->\n"
	inputsEnd   = "<!-- end of inputs -->\n"
)

func main() {
	if err := run("."); err != nil {
		fmt.Fprintln(os.Stderr, "reference:", err)
		os.Exit(1)
	}
}

// run writes the files of the checkout at root.
func run(root string) error {
	files, err := generate(root)
	if err != nil {
		return err
	}
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(root, name), content, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// generate returns the content of the files by name.
func generate(root string) (map[string][]byte, error) {
	text, err := os.ReadFile(filepath.Join(root, readme))
	if err != nil {
		return nil, err
	}
	before, rest, begun := bytes.Cut(text, []byte(inputsBegin))
	_, after, ended := bytes.Cut(rest, []byte(inputsEnd))
	if !begun || !ended {
		return nil, fmt.Errorf("%s: the lines around the table of inputs are not there", readme)
	}
	return map[string][]byte{
		readme:    slices.Concat(before, []byte(inputsBegin+inputs()+inputsEnd), after),
		reference: []byte(page()),
	}, nil
}

// inputs is the table of the inputs of mint. Those of an identity are in the README's
// table of identities, and those for unusual networks in the reference.
func inputs() string {
	var b strings.Builder
	b.WriteString("| input | default | meaning |\n|---|---|---|\n| `command` | `mint` | `mint`, `sweep`, `check` or `list` |\n")
	for _, d := range settings.Descriptions {
		if !d.Input || !slices.Contains(d.For, settings.Mint) || d.OfIdentity() || d.Group == "Network" || d.Name == "runner-temp" { // which action.yml sets
			continue
		}
		value := code(d.Default(settings.Mint))
		if slices.Contains(d.Required, settings.Mint) {
			value = "required"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s |\n", d.Name, value, cell(first(d.Meaning)))
	}
	return b.String()
}

// first is the part of a meaning before the first semicolon. The reference has the rest.
func first(meaning string) string {
	text, _, _ := strings.Cut(meaning, "; ")
	return text
}

// page is docs/reference.md.
func page() string {
	var b strings.Builder
	b.WriteString(`# Reference

Commands, settings, outputs and exit statuses. This page is written by ` + "`go run ./internal/reference`" + ` from the texts of ` + "`azdo-pat --help`" + `.

## Commands

| command | what it does |
|---|---|
`)
	root := cli.Root()
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			fmt.Fprintf(&b, "| [`%s`](#%s) | %s |\n", c.Name(), anchor(c), cell(c.Short))
		}
	}
	b.WriteString(`
Exit status: 0 done; 1 it failed; 2 the settings or the command line are wrong, and nothing was sent. ` + "`exec` and `rotate`" + ` pass on the status of their command if it fails: 128+n for signal n, 127 if it is not found, 126 if it cannot be started.

In GitHub Actions and Azure Pipelines the log is standard output. Elsewhere, and with ` + "`--output json`" + `, standard output has only the result, and the log is standard error.

## Settings

A setting is read from the first of these that is set and not empty:

1. the flag ` + "`--NAME`" + ` (secrets have none: other processes can read a command line),
2. in GitHub Actions the input ` + "`NAME`" + `,
3. the variable ` + "`AZDO_PAT_NAME`" + `, upper-cased, hyphens as underscores,
4. the variables of other tools in the table's last column,
5. the default.

A duration is a Go duration such as ` + "`1h30m`" + `, or whole days as in ` + "`30d`" + `. Several wrong settings are reported together, each under the name that you used. A variable that starts with ` + "`AZDO_PAT_`" + ` and names no setting gets a warning.
`)
	group := ""
	for _, d := range settings.Descriptions {
		if d.Group != group {
			group = d.Group
			fmt.Fprintf(&b, "\n### %s\n\n| name | commands | default | meaning | also read from |\n|---|---|---|---|---|\n", group)
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", d.Name, commands(d), defaults(d), cell(secretly(d)+d.Meanings()), each(d.AlsoRead))
	}
	b.WriteString(outputs)
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			command(&b, c)
		}
	}
	return b.String()
}

// outputs documents what mint hands over.
const outputs = `
## What mint hands over

| GitHub output, key of --output json | Azure Pipelines output variable | value |
|---|---|---|
| ` + "`token` | `token` (secret) | the PAT, or the Entra token" + ` |
| ` + "`authorization-id` | `authorizationId` | the PAT's id, in the API and in the audit log" + ` |
| ` + "`expires-at` | `expiresAt` | when it ends if it is not revoked, as the server granted it (RFC 3339, UTC)" + ` |
| ` + "`display-name` | `displayName` | its name in the user's list of tokens" + ` |
| ` + "`scopes` | `scopes` | the granted scopes, separated by spaces" + ` |
| ` + "`token-type` | `tokenType` | `pat` or `entra`" + ` |

With ` + "`token-type: entra`" + ` the id, the name and the scopes are empty.

At a terminal standard output is the token and a newline, or with ` + "`--output json`" + ` one object.
`

// command writes the section of a command.
func command(b *strings.Builder, c *cobra.Command) {
	fmt.Fprintf(b, "\n## azdo-pat %s\n\n", c.Name())
	fmt.Fprintf(b, "```text\n%s\n\nUsage:\n  %s\n\nExamples:\n%s\n```\n", cmp.Or(c.Long, c.Short), c.UseLine(), c.Example)
}

// anchor is the link to the section of a command.
func anchor(c *cobra.Command) string { return "azdo-pat-" + c.Name() }

func commands(d *settings.Description) string {
	var others []settings.Command
	for _, c := range settings.Commands() {
		if !slices.Contains(d.For, c) {
			others = append(others, c)
		}
	}
	switch len(others) {
	case 0:
		return "all"
	case 1, 2:
		return "all except " + names(others)
	}
	return names(d.For)
}

// names lists commands.
func names(commands []settings.Command) string {
	var all []string
	for _, c := range commands {
		all = append(all, string(c))
	}
	return each(all)
}

// defaults are the default and those of single commands.
func defaults(d *settings.Description) string {
	switch len(d.Required) {
	case 0:
	case len(settings.Commands()):
		return "required"
	default:
		return "required by " + names(d.Required)
	}
	text := code(d.Default(""))
	for _, c := range d.For {
		if v := d.Default(c); v != d.Default("") {
			text += fmt.Sprintf(" (`%s`: %s)", c, code(v))
		}
	}
	return text
}

func secretly(d *settings.Description) string {
	if d.Secret {
		return "secret; "
	}
	return ""
}

// each puts every word between backticks.
func each(words []string) string {
	var all []string
	for _, w := range words {
		all = append(all, code(w))
	}
	return strings.Join(all, ", ")
}

func code(text string) string {
	if text == "" {
		return ""
	}
	return "`" + text + "`"
}

// cell escapes what would end a cell of a table or be markup.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "*", `\*`).Replace(text)
}
