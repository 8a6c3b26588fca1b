package httpclient

import (
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"azdo-pat/internal/sanitize"
)

// Mismatch explains an error that shows that both sides speak different protocols:
// one of them no TLS, a refused handshake, or no HTTP at all. A retry does not
// help. ok is false for every other error.
func Mismatch(err error) (detail, advice string, ok bool) {
	if isUntrusted(err) {
		return "", "", false
	}
	m := mismatch{peer: "the host", setting: "the URL and its port"}
	if u := (*url.Error)(nil); errors.As(err, &u) {
		m.https = strings.HasPrefix(strings.ToLower(u.URL), "https:")
	}
	eachCause(err, m.inspect)
	return m.detail, m.advice, m.detail != ""
}

type mismatch struct {
	peer, setting  string
	https          bool // the URL asked for is https
	detail, advice string
}

func (m *mismatch) set(err error, detail, advice string) {
	m.detail, m.advice = sanitize.Line(m.peer+" "+detail+" ("+err.Error()+")", 300), advice
}

// inspect examines one error of a chain. It is called for the outermost first; the
// innermost that it recognizes decides.
func (m *mismatch) inspect(err error) {
	text := err.Error()
	op, _ := err.(*net.OpError)
	record, _ := err.(tls.RecordHeaderError)
	switch {
	case op != nil && op.Op == "proxyconnect":
		m.peer, m.setting = "the proxy", "HTTPS_PROXY"
	case op != nil && op.Op == "socks connect":
		m.peer, m.setting = "the proxy", "HTTPS_PROXY"
		m.socks(op.Err)
	case err == http.ErrSchemeMismatch, string(record.RecordHeader[:]) == "HTTP/":
		m.set(err, "speaks plain HTTP, not TLS", "check "+m.setting+": https:// is for a port that speaks TLS")
	case record.Msg != "":
		m.set(err, "does not speak TLS", "check "+m.setting)
	case op != nil && op.Op == "remote error" && !slices.Contains(transientAlerts, op.Err.Error()):
		m.set(err, "refuses the TLS connection", m.alert(op.Err.Error()))
	case op != nil && op.Op == "local error" && !slices.Contains(transientAlerts, op.Err.Error()):
		m.set(err, "violates the TLS protocol", m.alert(op.Err.Error()))
	case op == nil && strings.HasPrefix(text, "tls: ") && m.detail == "" && !slices.Contains(transientAlerts, text):
		m.set(err, "violates the TLS protocol", m.alert(text))
	case strings.HasPrefix(text, `malformed HTTP response "\x15\x03`):
		m.malformed(err)
	case slices.ContainsFunc(malformedHTTP, func(begin string) bool { return strings.HasPrefix(text, begin) }):
		m.set(err, "does not speak HTTP", "check "+m.setting+", and the proxy settings")
	}
}

// malformed handles a TLS alert where HTTP was expected. If the URL is https, only
// the proxy's answer to CONNECT is expected without TLS.
func (m *mismatch) malformed(err error) {
	if m.https {
		m.peer, m.setting = "the proxy", "HTTPS_PROXY"
	}
	m.set(err, "speaks TLS, not plain HTTP", "check "+m.setting+": a port that speaks TLS needs https://")
}

// socks handles the error of a SOCKS proxy that answered but did not connect.
func (m *mismatch) socks(err error) {
	begins := func(with ...string) bool {
		return slices.ContainsFunc(with, func(begin string) bool { return strings.HasPrefix(err.Error(), begin) })
	}
	switch {
	case begins("unexpected protocol version", "non-zero reserved field", "unknown address type", "unsupported authentication method", "invalid username/password version"):
		m.set(err, "does not speak SOCKS 5", "check "+m.setting+": socks5:// is for a SOCKS proxy, http:// for most others")
	case begins("no acceptable authentication methods", "username/password authentication failed", "invalid username/password"):
		m.set(err, "does not accept the user and password", "check the user and password in "+m.setting)
	case begins("unknown error connection not allowed by ruleset"):
		m.set(err, "does not allow the connection", "check "+m.setting+" and NO_PROXY, and what the proxy allows")
	}
}

// alert returns the advice for a TLS alert.
func (m *mismatch) alert(text string) string {
	switch {
	case strings.Contains(text, "certificate"), strings.Contains(text, "access denied"):
		return m.peer + " asks for a client certificate, and azdo-pat has none: check " + m.setting + ", and proxies in between"
	case strings.Contains(text, "unrecognized name"):
		return m.peer + " does not know the requested host name: check " + m.setting
	}
	return "azdo-pat speaks TLS 1.2 and 1.3 and has no client certificate: check " + m.setting + ", and what the server or proxy demands"
}

// transientAlerts are the TLS alerts that do not show what either side supports.
var transientAlerts = []string{
	"tls: close notify", "tls: bad record MAC", "tls: internal error", "tls: user canceled", "tls: use of closed connection",
}

// malformedHTTP are the beginnings of net/http's errors for a first line that is not
// HTTP.
var malformedHTTP = []string{"malformed HTTP response", "malformed HTTP version", "malformed HTTP status code"}

// eachCause calls f with every error of a chain, the outermost first.
func eachCause(err error, f func(error)) {
	for err != nil {
		f(err)
		switch in := err.(type) {
		case interface{ Unwrap() []error }:
			for _, one := range in.Unwrap() {
				eachCause(one, f)
			}
			return
		case interface{ Unwrap() error }:
			err = in.Unwrap()
		default:
			return
		}
	}
}
