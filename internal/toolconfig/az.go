package toolconfig

// setUpAz sets the only variable that az reads a PAT from. The extension sends it to
// whichever organization the command names.
// https://learn.microsoft.com/azure/devops/cli/log-in-via-pat
func setUpAz(p *plan) error {
	p.set("AZURE_DEVOPS_EXT_PAT", p.token.Reveal())
	return nil
}
