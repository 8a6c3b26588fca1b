//go:build e2e

package e2e

import (
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// actLog is the log of a program, act above all, while it grows.
type actLog struct {
	mu      sync.Mutex
	text    strings.Builder
	changed chan struct{}
}

func newActLog() *actLog { return &actLog{changed: make(chan struct{}, 1)} }

func (l *actLog) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return l.text.Write(b)
}

func (l *actLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// has checks that the log matches.
func (l *actLog) has(t *testing.T, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if !regexp.MustCompile("(?m)" + p).MatchString(l.String()) {
			t.Errorf("nothing in the log matches %s", p)
		}
	}
}

// hasNot checks that the log does not match.
func (l *actLog) hasNot(t *testing.T, patterns ...string) {
	t.Helper()
	for _, p := range patterns {
		if found := regexp.MustCompile("(?m)^.*" + p + ".*$").FindString(l.String()); found != "" {
			t.Errorf("the log matches %s: %s", p, found)
		}
	}
}

// said are the values that steps have printed as "NAME: VALUE", in order.
func (l *actLog) said(name string) []string {
	var values []string
	for _, m := range regexp.MustCompile(`(?m)^\[.*?\]   \| `+regexp.QuoteMeta(name)+`: (.*)$`).FindAllStringSubmatch(l.String(), -1) {
		values = append(values, strings.TrimRight(m[1], " \r"))
	}
	return values
}

// await waits until the log matches.
func (l *actLog) await(t *testing.T, pattern string) {
	t.Helper()
	re := regexp.MustCompile("(?m)" + pattern)
	late := time.After(2 * time.Minute)
	for !re.MatchString(l.String()) {
		select {
		case <-l.changed:
		case <-late:
			t.Fatalf("nothing in the log matches %s:\n%s", pattern, l)
		}
	}
}
