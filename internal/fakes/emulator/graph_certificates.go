package emulator

import (
	"crypto/sha1"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"time"
)

// newKeyCredential checks a certificate that an application shall get, and completes it
// as Graph does: the key id, if there is none, and the thumbprint.
// https://learn.microsoft.com/graph/api/resources/keycredential
func newKeyCredential(k map[string]any, now time.Time) (map[string]any, *graphError) {
	if k["type"] != "AsymmetricX509Cert" || k["usage"] != "Verify" {
		return nil, badRequest("The emulator takes key credentials of type AsymmetricX509Cert and usage Verify alone.")
	}
	der, err := base64.StdEncoding.DecodeString(stringOf(k["key"]))
	if err != nil {
		return nil, badRequest("Key credential value is invalid.")
	}
	certificate, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, badRequest("Key credential value is invalid: no certificate.")
	}
	start, end := certificate.NotBefore, certificate.NotAfter
	if given, err := time.Parse(time.RFC3339, stringOf(k["startDateTime"])); err == nil {
		start = given
	}
	if given, err := time.Parse(time.RFC3339, stringOf(k["endDateTime"])); err == nil {
		end = given
	}
	if end.After(certificate.NotAfter) {
		return nil, badRequest("Key credential end date is invalid: it is after the certificate's.")
	}
	if !now.Before(end) {
		return nil, badRequest("Key credential is expired.")
	}
	thumbprint := sha1.Sum(der)
	k["startDateTime"], k["endDateTime"] = timestamp(start), timestamp(end)
	k["customKeyIdentifier"] = strings.ToUpper(hex.EncodeToString(thumbprint[:]))
	if stringOf(k["keyId"]) == "" {
		k["keyId"] = guid()
	}
	if stringOf(k["displayName"]) == "" {
		k["displayName"] = certificate.Subject.String()
	}
	return k, nil
}
