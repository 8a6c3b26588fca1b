package httpclient

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"azdo-pat/internal/sanitize"
)

// IsLoopback reports whether the host of a URL is 127.0.0.0/8, ::1 or localhost in
// upper or lower case.
func IsLoopback(host string) bool {
	if sanitize.LowerASCII(host) == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && (ip.Is4() && ip.IsLoopback() || ip == netip.IPv6Loopback())
}

// ValidPort reports whether a URL names no port, or one from 1 to 65535. An empty
// one, as in https://HOST:, is a slip.
func ValidPort(u *url.URL) bool {
	if u.Port() == "" {
		return !strings.HasSuffix(u.Host, ":")
	}
	port, err := strconv.Atoi(u.Port())
	return err == nil && port >= 1 && port <= 65535
}

// proxyOf returns the proxy of a request; nil: none. net/http alone would send a
// request for LOCALHOST through the proxy.
func proxyOf(r *http.Request) (*url.URL, error) {
	if IsLoopback(r.URL.Hostname()) {
		return nil, nil
	}
	return http.ProxyFromEnvironment(r)
}

// Fault is an invalid environment variable that net/http or crypto/x509 would ignore
// silently.
type Fault struct {
	Name string
	// Found is the value of the variable; empty if it could be a credential.
	Found   string
	Allowed string // what the variable may hold
}

// The allowed values of the variables.
const (
	proxies = "the URL of a proxy, as in http://HOST:PORT or http://USER:PASSWORD@HOST:PORT, " +
		"in whose user and password %, #, /, ?, @ and : are written as %25, %23, %2F, %3F, %40 and %3A"
	schemes     = "a proxy's URL that starts with http://, https://, socks5:// or socks5h://"
	certificate = "a PEM file of certificates"
	directories = "folders with PEM files of certificates, separated by colons"
)

// EnvironmentFaults checks the variables that configure proxies and roots of trust.
// Without the check an invalid proxy would be ignored, and credentials would be
// sent directly.
func EnvironmentFaults(lookup func(string) (string, bool)) []Fault {
	var faults []Fault
	for _, names := range [][]string{{"HTTPS_PROXY", "https_proxy"}, {"HTTP_PROXY", "http_proxy"}} {
		if name, value := first(lookup, names); value != "" {
			if allowed := proxyFault(value); allowed != "" {
				faults = append(faults, Fault{Name: name, Allowed: allowed})
			}
		}
	}
	// These systems do not read their roots from files.
	if slices.Contains([]string{"windows", "darwin", "ios", "plan9"}, runtime.GOOS) {
		return faults
	}
	file, _ := lookup("SSL_CERT_FILE")
	if file != "" {
		if err := checkCertificateFile(file); err != nil {
			faults = append(faults, Fault{"SSL_CERT_FILE", file, fmt.Sprintf("%s (%v)", certificate, err)})
		}
	}
	// With SSL_CERT_FILE, an empty folder is a way to trust no other roots.
	if dirs, _ := lookup("SSL_CERT_DIR"); dirs != "" && file == "" {
		if err := checkCertificateDirs(strings.Split(dirs, ":")); err != nil {
			faults = append(faults, Fault{"SSL_CERT_DIR", dirs, fmt.Sprintf("%s (%v)", directories, err)})
		}
	}
	return faults
}

// first returns the first of the variables that is set, as net/http does.
func first(lookup func(string) (string, bool), names []string) (name, value string) {
	for _, name := range names {
		if value, _ := lookup(name); value != "" {
			return name, value
		}
	}
	return "", ""
}

// proxyFault returns what a proxy variable may hold if net/http would not read it as
// it was meant, or "". An unescaped "#", "/" or "?" in a password ends the host.
func proxyFault(text string) (allowed string) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme == "" || u.Host == "" {
		u, err = url.Parse("http://" + text)
		if err != nil { // as net/http does
			return proxies
		}
	}
	known := []string{"http", "https", "socks5", "socks5h"}
	switch {
	case !strings.Contains(text, "://") && slices.Contains(known, sanitize.LowerASCII(u.Hostname())): // as in http:8080
		return proxies
	case u.Hostname() == "", strings.Trim(u.Path, "/") != "" || strings.Contains(u.Path, "//"), strings.ContainsAny(text, "?#"),
		!ValidPort(u), strings.ContainsFunc(text, func(r rune) bool { return r == ' ' || sanitize.Invisible(r) }):
		return proxies
	case !slices.Contains(known, u.Scheme):
		return schemes
	}
	return ""
}

// EnvironmentWarnings returns a warning for each proxy variable that net/http does
// not understand and that puts no credential at risk.
func EnvironmentWarnings(lookup func(string) (string, bool)) (warnings []string) {
	if _, proxy := first(lookup, []string{"HTTPS_PROXY", "https_proxy"}); proxy == "" {
		if name, all := first(lookup, []string{"ALL_PROXY", "all_proxy"}); all != "" {
			warnings = append(warnings, name+" is not read, so no proxy is used; set HTTPS_PROXY")
		}
		return warnings
	}
	name, value := first(lookup, []string{"NO_PROXY", "no_proxy"})
	entries, wrong := strings.Split(value, ","), 0
	for _, entry := range entries {
		entry = strings.TrimSpace(entry)
		_, _, err := net.ParseCIDR(entry)
		if strings.Contains(entry, "/") && err != nil || strings.ContainsAny(entry, " ;@|") || strings.ContainsFunc(entry, sanitize.Invisible) {
			wrong++
		}
	}
	if wrong > 0 {
		warnings = append(warnings, fmt.Sprintf("%s: %d of %d entries are not understood, so these hosts are reached through the proxy; "+
			"separate by commas hosts, .domains, addresses and ranges as in 10.0.0.0/8", name, wrong, len(entries)))
	}
	return warnings
}

// checkCertificateFile returns nil if crypto/x509 finds a certificate in the file.
func checkCertificateFile(file string) error {
	text, err := readBounded(file)
	if err != nil {
		if path := (*fs.PathError)(nil); errors.As(err, &path) {
			err = path.Err // the caller has named the file
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w; an action in a container sees only the files of its container", err)
		}
		return err
	}
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" || len(block.Headers) > 0 {
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err == nil {
			return nil
		}
	}
	return errors.New("it holds no PEM certificate")
}

// checkCertificateDirs returns nil if there is a certificate in one of the folders.
func checkCertificateDirs(dirs []string) error {
	for _, dir := range dirs {
		files, _ := os.ReadDir(dir)
		for _, f := range files {
			if checkCertificateFile(filepath.Join(dir, f.Name())) == nil {
				return nil
			}
		}
	}
	return errors.New("no file in it holds a certificate")
}
