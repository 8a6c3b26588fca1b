package ci

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"unicode/utf16"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/redact"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// Log is the program's log. It redacts the credentials that it knows, and makes sure
// that no text is read as a logging command.
type Log struct {
	mu       sync.Mutex
	redactor redact.Redactor
	write    writer
	debug    bool
}

// writer writes lines in a platform's format. Their text is already redacted.
type writer interface {
	line(text string)
	debug(text string)
	annotate(level level, title, text string)
	group(title string)
	endGroup()
}

type level int

const (
	notice level = iota
	warning
	failure
)

// Infof writes one or more lines.
func (l *Log) Infof(format string, args ...any) {
	l.do(func() {
		for line := range strings.Lines(l.clean(fmt.Sprintf(format, args...))) {
			l.write.line(strings.TrimSuffix(line, "\n"))
		}
	})
}

// Debugf writes to the log if debugging is on.
func (l *Log) Debugf(format string, args ...any) {
	if l.debug {
		l.do(func() { l.write.debug(l.clean(fmt.Sprintf(format, args...))) })
	}
}

// Notice writes an annotation that the CI system shows with the job.
func (l *Log) Notice(title, text string) { l.annotate(notice, title, text) }

// Warning writes an annotation that the CI system shows as a warning.
func (l *Log) Warning(title, text string) { l.annotate(warning, title, text) }

// Error is an annotation of an error, with its hint on a line of its own.
func (l *Log) Error(title string, err error) { l.annotate(failure, title, Explain(err)) }

// Explain is an error with its hint on a line of its own.
func Explain(err error) string {
	text := err.Error()
	if h := hint.Of(err); h != "" {
		text += "\n" + h
	}
	return text
}

func (l *Log) annotate(level level, title, text string) {
	l.do(func() { l.write.annotate(level, sanitize.Line(l.clean(title), 100), l.clean(text)) })
}

// Both CI systems limit an annotation to 4,096 UTF-16 code units.
const (
	maxAnnotation = 4000
	cutNote       = "… (cut: the lines of the log before this one have all of it)"
)

// annotation shortens a text to what an annotation can hold. If it must, it writes the
// whole text to the log first.
func annotation(text string, line func(string)) string {
	units := 0
	for i, r := range text {
		units += utf16.RuneLen(r)
		if units <= maxAnnotation {
			continue
		}
		for whole := range strings.Lines(text) {
			line(strings.TrimSuffix(whole, "\n"))
		}
		return text[:i] + cutNote
	}
	return text
}

// Group folds the lines that are written until the returned function is called.
func (l *Log) Group(title string) (end func()) {
	l.do(func() { l.write.group(sanitize.Line(l.clean(title), 200)) })
	return sync.OnceFunc(func() { l.do(l.write.endGroup) })
}

// do runs f while it holds the lock. It ignores errors: a log that cannot be written is
// no reason to stop. Outputs and records are not written here.
func (l *Log) do(f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = recoverPanic(f)
}

// hide adds a credential to redact.
func (l *Log) hide(v secret.Value) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.redactor.Add(v)
}

// Hide adds a credential to redact that only this process has, so the CI system need not
// mask it.
func (l *Log) Hide(v secret.Value) error {
	if err := unmaskable(v); err != nil {
		return err
	}
	l.hide(v)
	return nil
}

// Redact replaces every credential that the log knows.
func (l *Log) Redact(text string) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.redactor.Redact(text)
}

func (l *Log) clean(text string) string { return sanitize.NoCommands(l.redactor.Redact(text)) }

// recoverPanic runs f and returns its panic as an error: go-githubactions panics
// where it cannot write.
func recoverPanic(f func()) (err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case error:
			err = r
		default:
			err = fmt.Errorf("%v", r)
		}
	}()
	f()
	return nil
}

// plain writes lines for a terminal, each with the program's name.
type plain struct{ w io.Writer }

func (p plain) line(text string)   { fmt.Fprintf(p.w, "azdo-pat: %s\n", text) }
func (p plain) debug(text string)  { p.each("debug: ", text) }
func (p plain) group(title string) { p.line(strings.TrimPrefix(title, "azdo-pat ")) }
func (p plain) endGroup()          {}

func (p plain) annotate(level level, title, text string) {
	p.each([]string{notice: "notice: ", warning: "warning: ", failure: "error: "}[level], strings.TrimPrefix(title, "azdo-pat ")+": "+text)
}

func (p plain) each(mark, text string) {
	for i, line := range strings.Split(text, "\n") {
		if i > 0 {
			mark = "  "
		}
		p.line(mark + line)
	}
}
