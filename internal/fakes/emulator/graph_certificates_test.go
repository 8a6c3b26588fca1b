package emulator_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"math/big"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// keyCredential is a new certificate as an application gets it, valid on the day at whose
// noon the clock of tests stands.
func keyCredential(t *testing.T) map[string]any {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "login"},
		NotBefore: time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC), NotAfter: time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return map[string]any{"type": "AsymmetricX509Cert", "usage": "Verify", "key": base64.StdEncoding.EncodeToString(der)}
}

// TestKeyCredentials: PATCH replaces all certificates, so one that is left out is deleted;
// one that is sent without its key, as a GET shows it, stays.
func TestKeyCredentials(t *testing.T) {
	t.Parallel()
	c := start(t)
	const path = "/applications(appId='" + emulator.AppID + "')"
	keys := func() []any { return c.ok(c.graphCLI("GET", path, nil), 200)["keyCredentials"].([]any) }
	patch := func(list ...any) answer {
		return c.graphCLI("PATCH", path, map[string]any{"keyCredentials": append([]any{}, list...)})
	}
	c.ok(patch(keyCredential(t)), 204)
	first := keys()
	if len(first) != 1 || first[0].(map[string]any)["key"] != nil {
		t.Fatalf("first: %v", first)
	}
	c.ok(patch(append(first, keyCredential(t))...), 204)
	both := keys()
	if len(both) != 2 || both[0].(map[string]any)["keyId"] != first[0].(map[string]any)["keyId"] {
		t.Fatalf("then: %v", both)
	}
	shown := c.ok(c.graphCLI("GET", path+"?$select=keyCredentials", nil), 200)["keyCredentials"].([]any)
	if shown[0].(map[string]any)["key"] == nil {
		t.Errorf("with $select: %v", shown)
	}
	for name, bad := range map[string]map[string]any{
		"no key": {"type": "AsymmetricX509Cert", "usage": "Verify"}, "no certificate": with(keyCredential(t), map[string]any{"key": "eA=="}),
		"longer than the certificate": with(keyCredential(t), map[string]any{"endDateTime": "2027-01-01T00:00:00Z"}),
		"another usage":               with(keyCredential(t), map[string]any{"usage": "Sign"}),
	} {
		if a := patch(bad); a.Status != 400 {
			t.Errorf("%s: %d %s", name, a.Status, a.Text)
		}
	}
	c.ok(patch(both[1]), 204)
	if left := keys(); len(left) != 1 || left[0].(map[string]any)["keyId"] != both[1].(map[string]any)["keyId"] {
		t.Errorf("left: %v", left)
	}
	c.e.Advance(24 * time.Hour)
	c.graphRefused(c.graphCLI("PATCH", path, map[string]any{"keyCredentials": []any{keyCredential(t)}}), 400, "Request_BadRequest")
}
