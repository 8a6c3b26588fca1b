package login

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"

	"azdo-pat/internal/secret"
)

const (
	// certificateLife is how long the temporary certificate is valid. Tenants may limit
	// the lifetime of certificates, and one that is left behind should end by itself.
	certificateLife = 4 * time.Hour
	// clockTolerance is how far this machine's clock may be ahead of Entra's.
	clockTolerance = 10 * time.Minute
	// assertionLife is how long an assertion is valid.
	assertionLife = 5 * time.Minute

	displayName = "azdo-pat-login"
)

// certificate is a certificate whose key exists in this process alone. It makes the
// assertions by which the application authenticates:
// https://learn.microsoft.com/entra/identity-platform/certificate-credentials
type certificate struct {
	client, audience string
	now              func() time.Time
	key              *rsa.PrivateKey
	thumbprint       string // base64url of the SHA-256 of the certificate
	pem              []byte
	dir, file        string // the folder and the file with the public half; empty: none
}

// newCertificate makes a key and a self-signed certificate of it. The audience is the
// token endpoint.
func newCertificate(client, audience string, now func() time.Time) (*certificate, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{CommonName: displayName},
		NotBefore:    now().Add(-clockTolerance),
		NotAfter:     now().Add(certificateLife),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	thumbprint := sha256.Sum256(der)
	return &certificate{
		client: client, audience: audience, now: now, key: key,
		thumbprint: base64.RawURLEncoding.EncodeToString(thumbprint[:]),
		pem:        pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
	}, nil
}

// Assertion implements [assertion.Source] with a JWT, signed with PS256 (RFC 7518,
// section 3.5). A library for it would cost the program 700 kB.
func (c *certificate) Assertion(context.Context) (secret.Value, error) {
	now := c.now()
	header, err := json.Marshal(map[string]string{"alg": "PS256", "typ": "JWT", "x5t#S256": c.thumbprint})
	if err != nil {
		return secret.Value{}, err
	}
	claims, err := json.Marshal(map[string]any{
		"aud": c.audience, "iss": c.client, "sub": c.client, "jti": uuid.New().String(),
		"iat": now.Unix(), "nbf": now.Unix(), "exp": now.Add(assertionLife).Unix(),
	})
	if err != nil {
		return secret.Value{}, err
	}
	text := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(claims)
	digest := sha256.Sum256([]byte(text))
	signature, err := rsa.SignPSS(rand.Reader, c.key, crypto.SHA256, digest[:], &rsa.PSSOptions{SaltLength: rsa.PSSSaltLengthEqualsHash})
	if err != nil {
		return secret.Value{}, fmt.Errorf("sign with the certificate: %w", err)
	}
	return secret.New(text + "." + base64.RawURLEncoding.EncodeToString(signature)), nil
}

// write puts the public half into a file of a new folder, where no other user can put
// another one in its place.
func (c *certificate) write() (err error) {
	c.dir, err = os.MkdirTemp("", "azdo-pat-login-")
	if err != nil {
		return fmt.Errorf("write the certificate: %w", err)
	}
	c.file = filepath.Join(c.dir, "cert.pem")
	if err := os.WriteFile(c.file, c.pem, 0o600); err != nil {
		return fmt.Errorf("write the certificate: %w", err)
	}
	return nil
}

// remove removes the file.
func (c *certificate) remove() error {
	if c.dir == "" {
		return nil
	}
	return os.RemoveAll(c.dir)
}
