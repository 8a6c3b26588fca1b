package emulator

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/uuid"
)

// A signingKey is an issuer's RSA key. Keys are made on first use, once per
// process, since making one takes longer than everything else at the start.
type signingKey func() *rsa.PrivateKey

var (
	gitHubKey    = newSigningKey()
	pipelinesKey = newSigningKey()
	gitLabKey    = newSigningKey()
	entraKey     = newSigningKey()
	strayKey     = newSigningKey() // of no issuer
)

func newSigningKey() signingKey {
	return sync.OnceValue(func() *rsa.PrivateKey {
		// Half as long as real keys: signing with those took a third of the
		// tests' processor time.
		key, err := rsa.GenerateKey(rand.Reader, 1024)
		if err != nil {
			panic(fmt.Sprintf("emulator: making a key: %v", err))
		}
		return key
	})
}

// issuerKeyLocked is the key of an issuer of assertions, or nil.
func (e *Emulator) issuerKeyLocked(issuer string) signingKey {
	switch issuer {
	case e.GitHubIssuer():
		return gitHubKey
	case PipelinesIssuer:
		return pipelinesKey
	case GitLabIssuer:
		return gitLabKey
	case e.entraIssuerLocked():
		return entraKey
	}
	return nil
}

// sign makes a JWT (RS256) of the claims.
func (k signingKey) sign(claims map[string]any) string {
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: k(), KeyID: "emulator"}},
		(&jose.SignerOptions{}).WithType("JWT"))
	if err != nil {
		panic(fmt.Sprintf("emulator: signing: %v", err))
	}
	raw, err := jwt.Signed(signer).Claims(claims).Serialize()
	if err != nil {
		panic(fmt.Sprintf("emulator: signing: %v", err))
	}
	return raw
}

// A token is a parsed JWT, of which nothing is believed until verified.
type token struct {
	jwt.Claims
	all    map[string]any
	parsed *jwt.JSONWebToken
}

// parse reads a JWT without verifying its signature. Only RS256 is taken.
func parse(raw string) (*token, error) { return parseSigned(raw, jose.RS256) }

func parseSigned(raw string, algorithm jose.SignatureAlgorithm) (*token, error) {
	parsed, err := jwt.ParseSigned(raw, []jose.SignatureAlgorithm{algorithm})
	if err != nil {
		return nil, err
	}
	t := &token{parsed: parsed}
	if err := parsed.UnsafeClaimsWithoutVerification(&t.Claims, &t.all); err != nil {
		return nil, err
	}
	return t, nil
}

// signedBy reports whether the key signed the token.
func (t *token) signedBy(k signingKey) bool {
	return k != nil && t.parsed.Claims(&k().PublicKey) == nil
}

// inForce reports whether now is within the token's lifetime, to the second
// and without leeway. A token without an end is never in force.
func (t *token) inForce(now time.Time) bool {
	if t.Expiry == nil || !now.Before(t.Expiry.Time()) {
		return false
	}
	return t.NotBefore == nil || !now.Before(t.NotBefore.Time())
}

// text is a string claim, "" if absent.
func (t *token) text(claim string) string {
	s, _ := t.all[claim].(string)
	return s
}

// guid makes a fresh random GUID.
func guid() string { return uuid.New().String() }

// isGUID reports whether s is a GUID in its usual form, dashes and all.
func isGUID(s string) bool {
	_, err := uuid.Parse(s)
	return err == nil && len(s) == 36
}

// random makes n random characters of base64url.
func random(n int) string {
	b := make([]byte, n)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)[:n]
}
