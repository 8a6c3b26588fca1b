package login

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"html"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"
	"unicode/utf8"

	"azdo-pat/internal/hint"
)

// page is what the browser shows at the end: plain text in HTML, without scripts and
// without anything from elsewhere.
type page struct {
	status     int
	title      string
	ok         bool
	paragraphs []string // plain text
}

// closing is the last paragraph of every page.
const closing = "You can close this window."

func refusedPage(status int, text string) *page {
	return &page{status: status, title: "Not taken", paragraphs: []string{text, closing}}
}

var stoppedPage = page{
	status: http.StatusServiceUnavailable, title: "Not signed in",
	paragraphs: []string{"azdo-pat has stopped. Nothing was stored.", closing},
}

// outcome is the page of a sign-in that has succeeded or failed.
func (r *run) outcome(result Result, err error) page {
	if err != nil {
		p := page{status: http.StatusOK, title: "Not signed in"}
		text := err.Error()
		if h := hint.Of(err); h != "" {
			text += "\n" + h
		}
		for line := range strings.Lines(r.Log.Redact(text)) {
			p.paragraphs = append(p.paragraphs, sentence(strings.TrimSpace(line)))
		}
		last := "Nothing was stored. " + closing
		if errors.Is(err, errNotKnown) {
			last = closing
		}
		p.paragraphs = append(p.paragraphs, last)
		return p
	}
	p := page{status: http.StatusOK, title: "Signed in", ok: true, paragraphs: []string{
		"Signed in as " + result.Person.String() + ".",
		"The refresh token " + result.Stored + ".",
	}}
	if r.certificate != nil {
		p.paragraphs = append(p.paragraphs, "The terminal shows the command that removes the temporary certificate.")
	}
	p.paragraphs = append(p.paragraphs, closing)
	return p
}

// sentence is a line of an error as a sentence. Errors begin in lower case and end without
// a full stop.
func sentence(line string) string {
	first, size := utf8.DecodeRuneInString(line)
	line = string(unicode.ToUpper(first)) + line[size:]
	if strings.HasSuffix(line, ".") {
		return line
	}
	return line + "."
}

const style = `:root{color-scheme:light dark}` +
	`body{margin:0;padding:2rem 1rem;font:1rem/1.5 system-ui,sans-serif;background:#fff;color:#1b1b1b}` +
	`main{max-width:38rem;margin:0 auto}` +
	`h1{font-size:1.5rem;line-height:1.25;margin:0 0 1rem;padding-left:.75rem;border-left:.3rem solid #b3261e}` +
	`h1.ok{border-color:#1a7f37}` +
	`p{margin:0 0 1rem;overflow-wrap:anywhere}` +
	`@media(prefers-color-scheme:dark){body{background:#161616;color:#e8e8e8}h1{border-color:#ff8a80}h1.ok{border-color:#57c26b}}`

// contentPolicy permits the one style sheet and nothing else.
var contentPolicy = sync.OnceValue(func() string {
	sum := sha256.Sum256([]byte(style))
	return "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
})

// response is the page as an answer of HTTP/1.1.
func (p *page) response() []byte {
	var b, body strings.Builder
	class := ""
	if p.ok {
		class = ` class="ok"`
	}
	title := html.EscapeString(p.title)
	fmt.Fprintf(&body, `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>%s · azdo-pat</title>
<style>%s</style>
</head>
<body>
<main>
<h1%s>%s</h1>
`, title, style, class, title)
	for _, text := range p.paragraphs {
		body.WriteString("<p>" + html.EscapeString(text) + "</p>\n")
	}
	body.WriteString("</main>\n</body>\n</html>\n")
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nContent-Length: %d\r\nDate: %s\r\n",
		p.status, http.StatusText(p.status), body.Len(), time.Now().UTC().Format(http.TimeFormat))
	for _, line := range []string{
		"Content-Type: text/html; charset=utf-8",
		"Content-Security-Policy: " + contentPolicy(),
		"Referrer-Policy: no-referrer", // the address of a GET has the code
		"Cache-Control: no-store",
		"X-Content-Type-Options: nosniff",
		"X-Frame-Options: DENY",
		"Cross-Origin-Opener-Policy: same-origin",
		"Cross-Origin-Resource-Policy: same-origin",
		"Connection: close",
	} {
		b.WriteString(line + "\r\n")
	}
	if p.status == http.StatusMethodNotAllowed {
		b.WriteString("Allow: GET, POST\r\n")
	}
	return []byte(b.String() + "\r\n" + body.String())
}
