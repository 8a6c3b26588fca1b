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

// manual is the page of the manual, azdo-pat(1): all commands and settings on
// one. It is written in Markdown, out of what --help says, and dated as
// everything is.
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

A setting *NAME* is read from the first of these where it is given and not empty:
the flag **--NAME**, in GitHub Actions the input **NAME** (**INPUT_NAME**,
upper-cased, hyphens kept), the variables that are named with it, in their order,
or the default. Secrets have no flag.

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
			d.Name, strings.Join(of, ", "), secret, text(upper(d.Text)), text(strings.Join(d.Variables(), ", ")))
	}

	b.WriteString(`# ENVIRONMENT

**HTTPS_PROXY**, **HTTP_PROXY**, **NO_PROXY**
: The proxy that requests go through; its user and password may be in the URL,
where %, #, /, ?, @ and : are percent-encoded. This machine is reached directly.

**SSL_CERT_FILE**, **SSL_CERT_DIR**
: The roots to trust instead of the system's. Where the system has none, those
inside the program are.

**GITHUB_ACTIONS**, **GITHUB_\***, **ACTIONS_ID_TOKEN_REQUEST_URL**, **ACTIONS_ID_TOKEN_REQUEST_TOKEN**
: Set by GitHub's runner: where the outputs go, and who vouches for the job.

**RUNNER_DEBUG**
: If it is 1, the log shows every request: method, host, path, status and time.

# EXIT STATUS

**0**
: Done.

**1**
: It failed. In **check**, a step did.

**2**
: The settings or the command line are wrong, and nothing was sent.

**exec** passes on the status of its command, 128 and the number for a signal.

# FILES

azdo-pat has no files of its own and keeps no credential on disk. It reads the
files that **federated-token-file** and **ca-file** name and, in GitHub Actions,
appends to the runner's **GITHUB_OUTPUT**, **GITHUB_STATE** and
**GITHUB_STEP_SUMMARY**.

# SEE ALSO

**az**(1), **gh**(1)
`)
	return typed(md2man.Render(b.Bytes()))
}

// commands are those that a person calls, in the order of help.
func commands(root *cobra.Command) []*cobra.Command {
	var all []*cobra.Command
	for _, c := range root.Commands() {
		if c.IsAvailableCommand() {
			all = append(all, c)
		}
	}
	return all
}

// text escapes what is no markup.
func text(s string) string {
	return strings.NewReplacer("*", `\*`, "_", `\_`, "<", `\<`, "|", `\|`, "[", `\[`, "`", "\\`").Replace(s)
}

// upper begins a sentence.
func upper(s string) string { return strings.ToUpper(s[:1]) + s[1:] }

// whole are the words that are to be copied: variables, paths, URLs.
var whole = regexp.MustCompile(`[^\s]*[_/][^\s]*`)

// typed makes every "-" the one that is typed, where to roff it is a hyphen, and
// lets no name be broken in two at the end of a line. roff reads no UTF-8.
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
