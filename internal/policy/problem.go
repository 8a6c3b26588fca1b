package policy

import (
	"fmt"
	"strings"
	"unicode/utf8"

	"azdo-pat/internal/secret"
)

// Problem is what is wrong with a policy, and where.
type Problem struct {
	// Line and Column count from 1; a column is a character. Both are 0 if the problem
	// has no place, such as a text that is too large.
	Line, Column int
	Text         string // what was found, and what is allowed
	source       string // the line
}

// Problems is the error of [Compile]: everything that is wrong with a policy, at most
// ten problems.
type Problems struct {
	List []Problem
	More bool // there are more than List has
}

// Error implements error: for each problem its place and text, then the line with a mark
// below the column.
func (p *Problems) Error() string {
	var all []string
	for _, one := range p.List {
		all = append(all, one.String())
	}
	if p.More {
		all = append(all, "and more")
	}
	return strings.Join(all, "\n")
}

// String is the problem with its line.
func (p Problem) String() string {
	if p.Line == 0 {
		return p.Text
	}
	text := fmt.Sprintf("line %d, column %d: %s", p.Line, p.Column, p.Text)
	switch {
	case strings.TrimSpace(p.source) == "":
		return text
	case utf8.RuneCountInString(p.source) > longestLine:
		return text + "\n  | (the line is long and not shown)"
	case secret.Resembles(p.source):
		return text + "\n  | (the line is not shown, since it may hold a credential)"
	}
	line, mark := visible(p.source, p.Column)
	return text + "\n  | " + line + "\n  | " + mark
}

// longestLine is the longest line that is shown. A part of one would not be enough for a
// mask of a credential in it.
const longestLine = 200

// visible is a line as a log can show it, and the mark below a column: a tab is one
// space, and "?" stands for what is invisible.
func visible(source string, column int) (line, mark string) {
	var b strings.Builder
	for _, r := range source {
		switch {
		case r == '\t':
			r = ' '
		case hidden(r):
			r = '?'
		}
		b.WriteRune(r)
	}
	return b.String(), strings.Repeat(" ", max(0, column-1)) + "^"
}
