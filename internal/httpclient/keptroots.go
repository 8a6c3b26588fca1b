package httpclient

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// maxKeptRoots limits the result of [KeepRoots], in bytes: the post step gets it in
// an environment variable, which Linux limits to 128 KiB, with the other settings.
const maxKeptRoots = 108 << 10

// KeepRoots returns, as one line of text, the roots that a later process may not
// find again: those of caFile and of the files that SSL_CERT_FILE and SSL_CERT_DIR
// name. Embedded roots are left out if the later process trusts them anyway. It
// fails if caFile cannot be read or has too many certificates.
func KeepRoots(caFile string) (string, error) {
	if caFile == "" && os.Getenv("SSL_CERT_FILE") == "" && os.Getenv("SSL_CERT_DIR") == "" {
		return "", nil
	}
	known := map[string]bool{}
	var own [][]byte
	if caFile != "" {
		text, err := readBounded(caFile)
		if err != nil {
			return "", err
		}
		own = certificates(text, known)
		if systemRoots() == nil { // otherwise the later process does not use the embedded roots
			own = withoutEmbedded(own)
		}
	}
	kept := pack(own)
	if len(kept) > maxKeptRoots {
		return "", fmt.Errorf("%s holds %d certificates, too many to keep for the post step (%d KiB; at most %d): remove those that are not needed",
			caFile, len(own), len(kept)>>10, maxKeptRoots>>10)
	}
	for _, file := range environmentFiles() {
		if text, err := readBounded(file); err == nil {
			own = append(own, withoutEmbedded(certificates(text, known))...)
		}
	}
	if all := pack(own); len(all) <= maxKeptRoots {
		kept = all // otherwise the later process needs the files
	}
	return kept, nil
}

// withoutEmbedded removes the roots that are embedded in the binary.
func withoutEmbedded(all [][]byte) [][]byte {
	for c := range bundle.Roots() {
		all = slices.DeleteFunc(all, func(der []byte) bool { return bytes.Equal(der, c.Certificate) })
	}
	return all
}

// environmentFiles returns the files with roots that the environment names, except
// those of the system, which no step of a job removes.
func environmentFiles() (files []string) {
	system := func(path string) bool { return strings.HasPrefix(path, "/etc/") || strings.HasPrefix(path, "/usr/") }
	if file := os.Getenv("SSL_CERT_FILE"); file != "" && !system(file) {
		files = append(files, file)
	}
	for _, dir := range strings.Split(os.Getenv("SSL_CERT_DIR"), ":") {
		if dir == "" || system(dir) {
			continue
		}
		entries, _ := os.ReadDir(dir)
		for _, e := range entries {
			files = append(files, filepath.Join(dir, e.Name()))
		}
	}
	return files
}

// certificates returns the certificates in a PEM file that are not in known, and
// adds them to it.
func certificates(text []byte, known map[string]bool) (all [][]byte) {
	for {
		var block *pem.Block
		block, text = pem.Decode(text)
		if block == nil {
			return all
		}
		der := string(block.Bytes)
		if block.Type != "CERTIFICATE" || known[der] {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			continue // not usable as a root
		}
		known[der] = true
		all = append(all, block.Bytes)
	}
}

// pack encodes DER certificates as one line of text. Compressing them would make it a
// quarter shorter, but cost each mint with a root of its own 2 ms and 2 MB.
func pack(certificates [][]byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Join(certificates, nil))
}

// unpack decodes the result of pack.
func unpack(kept string) ([]*x509.Certificate, error) {
	der, err := base64.StdEncoding.DecodeString(kept)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificates(der)
}
