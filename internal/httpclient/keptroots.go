package httpclient

import (
	"bytes"
	"compress/flate"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// maxKeptRoots is how long the text of [KeepRoots] may be: the post step gets it
// in a variable, and Linux takes 128 KiB for each.
const maxKeptRoots = 96 << 10

// KeepRoots returns, as one line of text, the roots of trust that a later process
// may not find again: those of caFile and of the files that SSL_CERT_FILE and
// SSL_CERT_DIR name. Those inside the binary are left out where the later process
// has them anyway.
func KeepRoots(caFile string) (string, error) {
	if caFile == "" && os.Getenv("SSL_CERT_FILE") == "" && os.Getenv("SSL_CERT_DIR") == "" {
		return "", nil
	}
	inside := map[string]bool{}
	for c := range bundle.Roots() {
		inside[string(c.Certificate)] = true
	}
	var own [][]byte
	if caFile != "" {
		text, err := readBounded(caFile)
		if err != nil {
			return "", err
		}
		skip := inside
		if _, whose := roots(); whose != EmbeddedRoots {
			skip = map[string]bool{} // the later process has the system's
		}
		own = certificates(text, skip)
	}
	kept, err := pack(own)
	if err != nil {
		return "", err
	}
	if len(kept) > maxKeptRoots {
		return "", fmt.Errorf("%s holds %d certificates, which are too many to be kept for the post step (%d KiB; at most %d): leave those out that are not needed",
			caFile, len(own), len(kept)>>10, maxKeptRoots>>10)
	}
	for _, file := range environmentFiles() {
		if text, err := readBounded(file); err == nil {
			own = append(own, certificates(text, inside)...)
		}
	}
	if all, err := pack(own); err == nil && len(all) <= maxKeptRoots {
		kept = all // or they must be there again
	}
	return kept, nil
}

// environmentFiles are the files with roots that the environment names, but those
// of the system, which no step takes away.
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

// certificates are the certificates in a PEM file but those that are known, which
// they are from then on.
func certificates(text []byte, known map[string]bool) (all [][]byte) {
	for {
		var block *pem.Block
		if block, text = pem.Decode(text); block == nil {
			return all
		}
		der := string(block.Bytes)
		if block.Type != "CERTIFICATE" || known[der] {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			continue // it is no root either
		}
		known[der] = true
		all = append(all, block.Bytes)
	}
}

// pack makes one line of text of certificates, and unpack reads it.
func pack(certificates [][]byte) (string, error) {
	if len(certificates) == 0 {
		return "", nil
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestCompression)
	if err != nil {
		return "", err
	}
	if _, err := w.Write(bytes.Join(certificates, nil)); err != nil {
		return "", err
	}
	if err := w.Close(); err != nil {
		return "", err
	}
	return base64.StdEncoding.EncodeToString(b.Bytes()), nil
}

func unpack(kept string) ([]*x509.Certificate, error) {
	if kept == "" {
		return nil, nil
	}
	packed, err := base64.StdEncoding.DecodeString(kept)
	if err != nil {
		return nil, err
	}
	der, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), MaxBody))
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificates(der)
}
