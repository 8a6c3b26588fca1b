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

// maxKeptRoots limits the result of [KeepRoots], in bytes: the post step gets it in
// an environment variable, which Linux limits to 128 KiB.
const maxKeptRoots = 96 << 10

// KeepRoots returns, as one line of text, the roots that a later process may not
// find again: those of caFile and of the files that SSL_CERT_FILE and SSL_CERT_DIR
// name. Embedded roots are left out if the later process trusts them anyway. It
// fails if caFile cannot be read or has too many certificates.
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
			skip = map[string]bool{} // the later process does not use the embedded roots
		}
		own = certificates(text, skip)
	}
	kept, err := pack(own)
	if err != nil {
		return "", err
	}
	if len(kept) > maxKeptRoots {
		return "", fmt.Errorf("%s holds %d certificates, too many to keep for the post step (%d KiB; at most %d): remove those that are not needed",
			caFile, len(own), len(kept)>>10, maxKeptRoots>>10)
	}
	for _, file := range environmentFiles() {
		if text, err := readBounded(file); err == nil {
			own = append(own, certificates(text, inside)...)
		}
	}
	if all, err := pack(own); err == nil && len(all) <= maxKeptRoots {
		kept = all // otherwise the later process needs the files
	}
	return kept, nil
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

// pack encodes DER certificates as one line of text: base64 of DEFLATE.
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

// unpack decodes the result of pack.
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
