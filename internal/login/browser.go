package login

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
)

// Browser returns the function that opens an address in the person's browser: with the
// commands in the variable BROWSER, tried in turn, otherwise with the system's opener. No
// shell is involved, and what the opener writes is discarded: standard output is for
// the refresh token.
func Browser(lookupEnv func(string) (string, bool)) func(address string) error {
	return func(address string) error {
		commands := [][]string{systemOpener(runtime.GOOS, address)}
		if value, _ := lookupEnv("BROWSER"); strings.TrimSpace(value) != "" {
			commands = browserCommands(value, address)
		}
		var errs []error
		for _, words := range commands {
			cmd := exec.Command(words[0], words[1:]...)
			if err := cmd.Start(); err != nil {
				errs = append(errs, fmt.Errorf("start %s: %w", words[0], err))
				continue
			}
			go cmd.Wait() //nolint:errcheck // many openers end late, or never
			return nil
		}
		return errors.Join(errs...)
	}
}

// systemOpener is the command by which a system opens an address in the default browser.
func systemOpener(goos, address string) []string {
	switch goos {
	case "windows":
		return []string{"rundll32", "url.dll,FileProtocolHandler", address}
	case "darwin":
		return []string{"open", address}
	}
	return []string{"xdg-open", address}
}

// browserCommands reads BROWSER as other tools do: commands separated as in PATH, each
// with %s where the address goes, or else with the address added at the end. A value
// that is the path of a program, which may contain spaces, is that program.
func browserCommands(value, address string) (commands [][]string) {
	if path, err := exec.LookPath(value); err == nil {
		return [][]string{{path, address}}
	}
	for _, command := range filepath.SplitList(value) {
		words := strings.Fields(command)
		if len(words) == 0 {
			continue
		}
		placed := false
		for i, word := range words[1:] {
			if strings.Contains(word, "%s") {
				words[i+1], placed = strings.ReplaceAll(word, "%s", address), true
			}
		}
		if !placed {
			words = append(words, address)
		}
		commands = append(commands, words)
	}
	return commands
}
