// Package lazyregexp has regular expressions that are compiled when they are
// first used. The program is started for one short command, which needs few of
// them, and a job waits for it: to compile all of them takes longer than a
// handshake.
package lazyregexp

import (
	"regexp"
	"sync"
)

// New returns what gives the expression. It panics there if the expression is
// not one.
func New(expression string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expression) })
}
