package main

import (
	"bytes"
	"cmp"
	"fmt"
	"regexp"
	"strings"

	"github.com/cpuguy83/go-md2man/v2/md2man"
	"github.com/spf13/cobra"

	"azdo-pat/internal/cli"
	"azdo-pat/internal/settings"
)

// manual is the manual page, azdo-pat(1), with all commands and settings. It is
// written as Markdown from the same texts as --help, and has the date of the source.
func manual(o origin) []byte {
	root := cli.Root()
	var b bytes.Buffer
	fmt.Fprintf(&b, "%% \"AZDO-PAT\" \"1\" \"%s\" \"azdo-pat %s\" \"User Commands\"\n\n", o.Time.UTC().Format("January 2006"), cmp.Or(o.Version, "dev"))
	fmt.Fprintf(&b, "# NAME\n\nazdo-pat - %s\n\n", root.Short)
	b.WriteString("# SYNOPSIS\n\n**azdo-pat** *COMMAND* [*FLAGS*]\n\n")
	fmt.Fprintf(&b, "# DESCRIPTION\n\n%s\n\n", text(root.Long))

	b.WriteString("# COMMANDS\n\n")
	for _, c := range commands(root) {
		fmt.Fprintf(&b, "### %s\n\n%s\n\n", c.UseLine(), text(cmp.Or(c.Long, c.Short)))
		if c.Example != "" {
			fmt.Fprintf(&b, "```\n%s\n```\n\n", c.Example)
		}
	}

	b.WriteString(`# SETTINGS

A setting *NAME* is read from the first of these that is set and not empty: the
flag **--NAME**, in GitHub Actions the input **NAME** (**INPUT_NAME**, upper-cased,
hyphens kept), and the variables that are listed with it, in that order. Otherwise
the default applies. Secrets have no flag.

`)
	for _, d := range settings.Descriptions {
		var of []string
		for _, c := range d.For {
			of = append(of, string(c))
		}
		secret := ""
		if d.Secret {
			secret = ", a secret"
		}
		fmt.Fprintf(&b, "**%s** (%s%s)\n: %s. In the environment: %s.\n\n",
			d.Name, strings.Join(of, ", "), secret, text(upper(d.Everywhere())), text(strings.Join(d.Variables(), ", ")))
	}

	b.WriteString(`# ENVIRONMENT

**HTTPS_PROXY**, **HTTP_PROXY**, **NO_PROXY**
: The proxy for requests. The URL may contain its user and password, in which %, #,
/, ?, @ and : must be percent-encoded. This machine is reached without it.

**SSL_CERT_FILE**, **SSL_CERT_DIR**
: The roots to trust instead of the system's. If the system has none, those inside
the program are used.

**GITHUB_ACTIONS**, **GITHUB_\***, **ACTIONS_ID_TOKEN_REQUEST_URL**, **ACTIONS_ID_TOKEN_REQUEST_TOKEN**
: Set by GitHub's runner: where to write the outputs, and where to ask for the OIDC token.

**RUNNER_DEBUG**
: If it is 1, the log shows every request: method, host, path, status and time.

# EXIT STATUS

**0**
: Done.

**1**
: It failed; for **check**, a step failed.

**2**
: The settings or the command line are wrong, and nothing was sent.

**exec** and **rotate** pass on the status of their command if it fails, or 128 plus
the number of the signal that ended it.

# FILES

azdo-pat has no files of its own and stores no credential on disk. It reads the
files that **federated-token-file** and **ca-file** name and, in GitHub Actions,
appends to the runner's **GITHUB_OUTPUT**, **GITHUB_STATE** and
**GITHUB_STEP_SUMMARY**.

# SEE ALSO

**az**(1), **gh**(1)
`)
	return typed(md2man.Render(b.Bytes()))
}

// commands lists the commands that help shows, in its order.
func commands(root *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			all = append(all, c)
		}
	}
	return all
}

// text escapes the characters that would be markup.
func text(s string) string {
	return strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`, "|", `\|`, "[", `\[`, "`", "\\`").Replace(s)
}

// upper begins a sentence.
func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// whole matches the words that readers copy: variables, paths, URLs.
var whole = regexp.MustCompile(`[^\s]*[_/][^\s]*`)

// typed replaces the hyphens of roff by the "-" that is typed, and keeps names
// from being broken at the end of a line. roff reads no UTF-8.
func typed(roff []byte) []byte {
	roff = bytes.ReplaceAll(roff, []byte("…"), []byte("..."))
	var b bytes.Buffer
	for line := range bytes.Lines(roff) {
		if !bytes.HasPrefix(line, []byte(".")) || bytes.HasPrefix(line, []byte(".SS ")) {
			line = bytes.ReplaceAll(bytes.ReplaceAll(line, []byte(`\-`), []byte("-")), []byte("-"), []byte(`\-`))
		}
		if !bytes.HasPrefix(line, []byte(".")) {
			line = whole.ReplaceAll(line, []byte(`\%$0`))
		}
		b.Write(line)
		if bytes.HasPrefix(line, []byte(".TH ")) {
			b.WriteString(".ad l\n")
		}
	}
	return b.Bytes()
}
