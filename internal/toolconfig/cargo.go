package toolconfig

import (
	"encoding/base64"
	"errors"
	"runtime"

	"azdo-pat/internal/hint"
)

// setUpCargo writes the Authorization header for each feed's registry into a file, which
// a credential provider prints. The index is set too, so that the header goes nowhere
// else.
// https://doc.rust-lang.org/cargo/reference/registry-authentication.html (cargo 1.74)
func setUpCargo(p *plan) error {
	const prints = "cargo:token-from-stdout cat "
	if err := p.noSpace("the credential provider"); err != nil {
		return err
	}
	if runtime.GOOS == "windows" {
		return hint.Add(errors.New("the credential provider prints a file with cat, which Windows does not have"),
			"set CARGO_REGISTRIES_NAME_TOKEN yourself: Basic, a space, and the base64 form of a colon and the token")
	}
	file := p.file("cargo", "Basic "+base64.StdEncoding.EncodeToString([]byte(":"+p.token.Reveal()))+"\n")
	for _, feed := range p.Feeds {
		prefix := "CARGO_REGISTRIES_" + feed.variable() + "_"
		index := "sparse+" + feed.url(p.Organization, "Cargo/index/")
		if was := p.env(prefix + "INDEX"); was != "" && was != index {
			p.warn("%sINDEX named another index and is replaced", prefix)
		}
		p.set(prefix+"INDEX", index)
		p.set(prefix+"CREDENTIAL_PROVIDER", prints+file)
	}
	return nil
}
