package toolconfig

import (
	"fmt"
	"path/filepath"
	"strconv"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/quote"
)

// setUpGit adds a credential helper for the organization's two addresses. git asks it
// for the URLs below them alone, whatever user they name, and with useHttpPath too. The
// helper prints a file, and ignores what git asks it to store or to forget.
// https://git-scm.com/docs/gitcredentials and git-config, GIT_CONFIG_COUNT (git 2.31).
func setUpGit(p *plan) error {
	content := "username=" + p.Organization + "\npassword=" + p.token.Reveal() + "\n"
	file := p.file("git-credential", content)
	// git runs helpers with its own sh, on Windows too.
	print := "cat " + quote.Shell(filepath.ToSlash(file)) + " 2>/dev/null"
	if p.InContainer != "" {
		print += " || cat " + quote.Shell(p.InContainer+"/git-credential") + " 2>/dev/null"
	}
	helper := `!f() { if test "$1" = get; then ` + print + "; fi; }; f"

	count, err := gitConfigCount(p.env("GIT_CONFIG_COUNT"))
	if err != nil {
		return err
	}
	for _, address := range []string{"https://dev.azure.com/" + p.Organization, "https://" + p.Organization + ".visualstudio.com"} {
		// The empty one keeps the machine's own helpers from being asked for this URL.
		for _, value := range []string{"", helper} {
			p.set(fmt.Sprintf("GIT_CONFIG_KEY_%d", count), "credential."+address+".helper")
			p.set(fmt.Sprintf("GIT_CONFIG_VALUE_%d", count), value)
			count++
		}
	}
	p.set("GIT_CONFIG_COUNT", strconv.Itoa(count))
	return nil
}

// maxGitConfig bounds GIT_CONFIG_COUNT.
const maxGitConfig = 10000

// gitConfigCount reads the number of entries that the caller has.
func gitConfigCount(text string) (int, error) {
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 || n > maxGitConfig {
		return 0, hint.Add(fmt.Errorf("GIT_CONFIG_COUNT is not a number of entries up to %d, so git would refuse it", maxGitConfig),
			"unset it, or find the earlier step that set it")
	}
	return n, nil
}
