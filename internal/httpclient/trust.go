package httpclient

import (
	"crypto/x509"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// trust holds the trusted roots. Reading them takes several milliseconds, so they
// are read while the first connection is being opened, and not at all without TLS.
type trust struct {
	// pool is empty until read has returned.
	pool *x509.CertPool
	// read fills the pool once. Concurrent calls wait for the first.
	read func()
}

// newTrust reads the CA file at once, so that an error in it is reported before
// anything is sent.
func newTrust(o Options) (*trust, error) {
	var own []byte
	caFile := o.CAFile
	if caFile != "" {
		var err error
		own, err = readBounded(caFile)
		if err != nil {
			return nil, err
		}
		if !x509.NewCertPool().AppendCertsFromPEM(own) {
			return nil, fmt.Errorf("%s holds no PEM certificate", caFile)
		}
	}
	kept, err := unpack(o.KeptRoots)
	if err != nil {
		return nil, fmt.Errorf("the roots that were kept cannot be read: %w", err)
	}
	t := &trust{pool: x509.NewCertPool()}
	t.read = sync.OnceFunc(func() {
		pool, _ := roots()
		pool.AppendCertsFromPEM(own)
		for _, cert := range kept {
			pool.AddCert(cert)
		}
		*t.pool = *pool
	})
	return t, nil
}

// now is the [crypto/tls.Config.Time]. It is called right before a certificate is
// verified, so it waits until the roots have been read.
func (t *trust) now() time.Time {
	t.read()
	return time.Now()
}

// roots returns the system's roots, or the embedded ones if the system has none,
// and SystemRoots or EmbeddedRoots accordingly.
func roots() (*x509.CertPool, string) {
	if system := systemRoots(); system != nil {
		return system, SystemRoots
	}
	return embeddedRoots(), EmbeddedRoots
}

// systemRoots returns the system's roots, or nil if it has none.
func systemRoots() *x509.CertPool {
	system, err := x509.SystemCertPool()
	if err != nil || system.Equal(x509.NewCertPool()) {
		return nil
	}
	return system
}

// embeddedRoots returns the roots that are embedded in the binary.
func embeddedRoots() *x509.CertPool {
	pool := x509.NewCertPool()
	for c := range bundle.Roots() {
		// The bundle is generated from certificates that parse.
		cert, err := x509.ParseCertificate(c.Certificate)
		if err != nil {
			continue
		}
		if c.Constraint == nil {
			pool.AddCert(cert)
		} else {
			pool.AddCertWithConstraint(cert, c.Constraint)
		}
	}
	return pool
}

// readBounded reads a regular file of at most MaxBody bytes.
func readBounded(name string) ([]byte, error) {
	// Checked first, because opening a named pipe waits for its writer.
	if info, err := os.Stat(name); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxBody+1))
	if err == nil && len(b) > MaxBody {
		err = fmt.Errorf("%s is larger than 4 MiB", name)
	}
	return b, err
}
