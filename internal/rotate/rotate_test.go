package rotate_test

import (
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/pat"
	"azdo-pat/internal/rotate"
)

const day = 24 * time.Hour

var noon = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)

// minted is a PAT that was minted some time before noon and is valid for some more.
func minted(id string, ago, left time.Duration) pat.Token {
	return pat.Token{ID: id, ValidFrom: noon.Add(-ago), ValidTo: noon.Add(left)}
}

func TestPlan(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		pats    []pat.Token
		overlap time.Duration
		times   []time.Duration // from noon
		due     string          // a part of it; empty: not due
	}{
		{name: "none", due: "there is no PAT yet"},
		{name: "a new one", pats: []pat.Token{minted("a", 0, 30*day)}},
		{name: "a second more than when-left", pats: []pat.Token{minted("a", 20*day, 10*day+time.Second)}},
		{name: "when-left", pats: []pat.Token{minted("a", 20*day, 10*day)}, due: "the newest PAT, a, ends at 2026-12-10T12:00:00Z"},
		{name: "a minute", pats: []pat.Token{minted("a", 30*day, time.Minute)}, due: "the newest PAT"},
		{name: "two", pats: []pat.Token{minted("a", 0, 30*day), minted("b", 20*day, 10*day)}, due: "2 PATs are active, so the last rotation did not finish"},
		{name: "two new ones", pats: []pat.Token{minted("a", 0, 30*day), minted("b", 0, 30*day)}, due: "2 PATs are active"},
		{name: "two, of which one was moved", overlap: day, pats: []pat.Token{minted("a", 0, 30*day), minted("b", 20*day, day)}},
		{name: "moved by another clock", overlap: day, pats: []pat.Token{minted("a", 0, 30*day), minted("b", 20*day, day+time.Minute)}},
		{name: "not moved", overlap: day, pats: []pat.Token{minted("a", 0, 30*day), minted("b", 20*day, day+2*time.Minute)}, due: "2 PATs are active"},
		{name: "three, two moved", overlap: day, pats: []pat.Token{minted("a", 0, 30*day), minted("b", 1*day, day), minted("c", 20*day, time.Hour)}},

		// Clocks: due by one is due, but one that contradicts the PATs does not count.
		{name: "due by the second clock", pats: []pat.Token{minted("a", 19*day, 11*day)}, times: []time.Duration{0, 2 * day}, due: "the newest PAT"},
		{name: "due by the first clock", pats: []pat.Token{minted("a", 19*day, 11*day)}, times: []time.Duration{2 * day, 0}, due: "the newest PAT"},
		{name: "a clock after its end", pats: []pat.Token{minted("a", 0, 30*day)}, times: []time.Duration{0, 31 * day}},
		{name: "a clock before its beginning", overlap: day, pats: []pat.Token{minted("a", 0, 30*day), minted("b", 20*day, day)}, times: []time.Duration{-2 * day, 0}},
		{name: "no clock that fits", pats: []pat.Token{minted("a", 0, 30*day)}, times: []time.Duration{40 * day}, due: "the newest PAT"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if tc.times == nil {
				tc.times = []time.Duration{0}
			}
			var times []time.Time
			for _, after := range tc.times {
				times = append(times, noon.Add(after))
			}
			c := &rotate.Consumer{Name: "sonarqube", WhenLeft: 10 * day, Overlap: tc.overlap}
			p := c.Plan(tc.pats, times)
			if (p.Due == "") != (tc.due == "") || !strings.Contains(p.Due, tc.due) {
				t.Errorf("due: %q, want %q", p.Due, tc.due)
			}
			if len(tc.pats) > 0 && p.Newest.ID != tc.pats[0].ID {
				t.Errorf("the newest is %q", p.Newest.ID)
			}
		})
	}
}
