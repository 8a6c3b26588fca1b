package login

import (
	"fmt"

	"azdo-pat/internal/quote"
	"azdo-pat/internal/timefmt"
)

// showCertificate prints the command that adds the certificate to the application.
func (r *run) showCertificate() error {
	if err := r.certificate.write(); err != nil {
		return err
	}
	r.Log.Infof("the application authenticates with a temporary certificate. Its key exists in this process alone, and it expires in %s.", timefmt.Duration(certificateLife))
	r.Log.Infof("run this command in another terminal, as an owner of the application or an application administrator. Keep --append: without it every other credential is deleted.")
	r.Copy(r.addCommand())
	return nil
}

// removeCertificate removes the file of the certificate and prints the command that
// removes the certificate from the application.
func (r *run) removeCertificate() {
	if err := r.certificate.remove(); err != nil {
		r.Log.Warning("temporary file", fmt.Sprintf("the file with the public certificate is left: %v", err))
	}
	r.Log.Infof("if you added the temporary certificate, remove it from the application:")
	r.Copy(r.removeCommand())
}

// addCommand adds the certificate and leaves every other credential alone.
func (r *run) addCommand() string {
	return fmt.Sprintf("az ad app credential reset --id %s --cert %s --append --display-name %s",
		r.quote(r.Settings.ClientID), r.quote("@"+r.certificate.file), displayName)
}

// removeCommand removes every certificate of that name, also of an earlier sign-in.
func (r *run) removeCommand() string {
	id := r.quote(r.Settings.ClientID)
	list := fmt.Sprintf(`az ad app credential list --id %s --cert --query "[?displayName=='%s'].keyId" -o tsv`, id, displayName)
	if r.Windows {
		return list + fmt.Sprintf(" | ForEach-Object { az ad app credential delete --id %s --key-id $_ --cert }", id)
	}
	return list + fmt.Sprintf(" | xargs -I KEY az ad app credential delete --id %s --key-id KEY --cert", id)
}

// quote writes a word for the shell of this machine.
func (r *run) quote(word string) string {
	if r.Windows {
		return quote.PowerShell(word)
	}
	return quote.Shell(word)
}
