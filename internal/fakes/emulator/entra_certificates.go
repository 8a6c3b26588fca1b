package emulator

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// A KeyCredential is a certificate by which an application may authenticate.
type KeyCredential struct {
	KeyID       string
	DisplayName string
	Certificate *x509.Certificate
	// KnownFrom is when Entra's token endpoint begins to know it.
	KnownFrom time.Time
	Revoked   bool // AADSTS7000214
}

// AddCertificate adds the certificate in a PEM text to an application, beside those that
// it has, as az ad app credential reset --append does. It returns its key id.
func (e *Emulator) AddCertificate(clientID, text, displayName string) (string, error) {
	block, rest := pem.Decode([]byte(text))
	switch {
	case block == nil || block.Type != "CERTIFICATE":
		return "", errors.New("no certificate")
	case strings.TrimSpace(string(rest)) != "":
		return "", errors.New("more than a certificate")
	}
	certificate, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return "", err
	}
	now := e.Now(Entra)
	if !now.Before(certificate.NotAfter) {
		return "", fmt.Errorf("the certificate has expired on %s", certificate.NotAfter)
	}
	key := &KeyCredential{KeyID: guid(), DisplayName: displayName, Certificate: certificate}
	e.Change(func(w *State) {
		app := w.App(clientID)
		if app == nil {
			err = fmt.Errorf("no application %s", clientID)
			return
		}
		key.KnownFrom = now.Add(w.CredentialDelay)
		app.Keys = append(app.Keys, key)
	})
	return key.KeyID, err
}

// RemoveCertificate removes a certificate of an application.
func (e *Emulator) RemoveCertificate(clientID, keyID string) (removed bool) {
	e.Change(func(w *State) {
		app := w.App(clientID)
		n := len(app.Keys)
		app.Keys = slices.DeleteFunc(app.Keys, func(k *KeyCredential) bool { return k.KeyID == keyID })
		removed = len(app.Keys) < n
	})
	return removed
}

// keys are the certificates of an application, also those that it got through Microsoft
// Graph.
func (a *App) keys() []*KeyCredential {
	all := slices.Clone(a.Keys)
	stored, _ := a.properties["keyCredentials"].([]any)
	for _, s := range stored {
		k, _ := s.(map[string]any)
		der, _ := base64.StdEncoding.DecodeString(stringOf(k["key"]))
		if certificate, err := x509.ParseCertificate(der); err == nil {
			all = append(all, &KeyCredential{KeyID: stringOf(k["keyId"]), DisplayName: stringOf(k["displayName"]), Certificate: certificate})
		}
	}
	return all
}

// thumbprintHeader names the certificate in the header of an assertion:
// https://learn.microsoft.com/entra/identity-platform/certificate-credentials
const thumbprintHeader = "x5t#S256"

// byCertificate reports whether the client made the assertion itself.
func byCertificate(raw string) bool {
	t, err := parseSigned(raw, jose.PS256)
	return err == nil && len(t.parsed.Headers) == 1
}

// certificate verifies an assertion that the client made with its certificate.
func (x *exchange) certificate() *entraError {
	raw := x.keepLocked(x.form.Get("client_assertion"))
	assertion, err := parseSigned(raw, jose.PS256)
	if err != nil {
		return refusal(50027, "JWT token is invalid or malformed: %v.", err)
	}
	header := assertion.parsed.Headers[0].ExtraHeaders
	thumbprint, _ := header[thumbprintHeader].(string)
	if typ, _ := header["typ"].(string); typ != "JWT" || thumbprint == "" {
		return refusal(50027, "JWT token is invalid or malformed: its header has no typ JWT or no %s.", thumbprintHeader)
	}
	keys := x.client.keys()
	i := slices.IndexFunc(keys, func(k *KeyCredential) bool {
		sum := sha256.Sum256(k.Certificate.Raw)
		return base64.RawURLEncoding.EncodeToString(sum[:]) == thumbprint && !x.now.Before(k.KnownFrom)
	})
	const unknown = "The certificate with identifier used to sign the client assertion is not registered on application. [Reason - %s, Thumbprint of key used by client: '%s']."
	if i < 0 {
		return refusal(700027, unknown, "The key was not found.", thumbprint)
	}
	key := keys[i]
	endpoint := x.host + x.path
	switch {
	case key.Revoked:
		return refusal(7000214, "Certificate has been revoked.")
	case x.now.Before(key.Certificate.NotBefore) || !x.now.Before(key.Certificate.NotAfter):
		return refusal(1000502, "The provided certificate is not within its specified validity period.")
	case assertion.parsed.Claims(key.Certificate.PublicKey) != nil:
		return refusal(700027, unknown, "The key was found, but its signature could not be verified.", thumbprint)
	case !slices.Equal(assertion.Audience, []string{endpoint}):
		return refusal(700023, "Client assertion audience claim does not match Realm issuer: %q is not %q.", assertion.Audience, endpoint)
	case assertion.Issuer != x.client.ClientID || assertion.Subject != x.client.ClientID:
		return refusal(700021, "Client assertion application identifier doesn't match 'client_id' parameter.")
	case !assertion.inForce(x.now):
		return refusal(700024, "Client assertion is not within its valid time range. Current time: %s.", x.now.Format(time.RFC3339))
	case assertion.ID == "" || assertion.NotBefore == nil || assertion.IssuedAt == nil || assertion.Expiry.Time().Sub(assertion.NotBefore.Time()) > 10*time.Minute:
		return refusal(90100, "The emulator takes assertions with jti, iat, and nbf, for 10 minutes at most.")
	case x.reused:
		return refusal(codeReused, "The emulator takes each assertion once: jti '%s' has been presented before.", assertion.ID)
	}
	return nil
}
