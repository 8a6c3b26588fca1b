package lease

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"azdo-pat/internal/pat"
)

// Only a PAT with our name is handed over, and only one whose name can be ours is revoked
// by the id in the answer. (Promise 4.)
func TestAnswerWithAnotherName(t *testing.T) {
	t.Parallel()
	const cut = "azdo-pat contoso/app run 42.1 build 0123456789"
	for _, tc := range []struct {
		name   string
		answer string // the display name in it
		own    bool   // with the id of the PAT that was made
		err    error
		did    string // after the PAT was masked
		says   string
		left   []string
	}{
		{name: "another PAT's", answer: "my own token", did: "record intended unsettled,list,revoke #1,record closed",
			says: `the answer is about PAT ` + guid(77) + ` named "my own token" instead of "` + leaseName + `"; that PAT is left alone`},
		{name: "none", did: "record intended unsettled,list,revoke #1,record closed", says: `named ""`},
		{name: "ours cut short", answer: cut, did: "record intended #77 unsettled,revoke #77,list,revoke #1,record closed #77", says: "its name was shortened"},
		{name: "ours cut short, with its own id", answer: cut, own: true, did: "record intended #1 unsettled,revoke #1,list,record closed #1", says: "its name was shortened; the PAT was revoked"},
		{name: "half an answer, with another name", answer: "my own token", err: errHalf, did: "record intended unsettled,list,revoke #1,record closed", says: "cut off"},
		{name: "half an answer, without a name", err: errHalf, did: "record intended unsettled,list,revoke #1,record closed", says: "cut off"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, creates: []create{{err: tc.err, withPAT: true}}}
				w.rename = func(t *pat.Token) {
					if t.DisplayName = tc.answer; !tc.own {
						t.ID = guid(77)
					}
				}
				_, err := w.process().client().Acquire(t.Context(), fresh(), wanted)
				if err == nil || !strings.Contains(err.Error(), tc.says) {
					t.Errorf("error %v, want %q", err, tc.says)
				}
				w.did(append([]string{"record intended", "create", "mask #1"}, strings.Split(tc.did, ",")...)...)
				w.left(tc.left...)
			})
		})
	}
}

// A server that shortens names shows only part of the KEY.
func TestReleaseByANameCutShort(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		listed string
		stage  Stage
		left   []string
		says   string
	}{
		{leaseName[:len(leaseName)-8], Intended, nil, ""},
		{leaseName[:len(leaseName)-9], Intended, []string{"#1"}, "the list shows " + guid(1) + ` ("` + leaseName[:len(leaseName)-9] + `"): their names were shortened`},
		{"azdo-pat contoso/app", Intended, []string{"#1"}, "their names were shortened"},
		{"azdo-pat contoso/other", Intended, []string{"#1"}, ""},
		{"azdo-pat contoso/app", Closed, []string{"#1"}, ""}, // nothing is missing
	} {
		synctest.Test(t, func(t *testing.T) {
			w := &world{T: t}
			w.commit(1, pat.Create{DisplayName: tc.listed})
			r := Record{Stage: tc.stage, Name: leaseName, Intended: time.Now().Add(-time.Hour)}
			_, _, err := w.process().client().Release(t.Context(), r)
			if (err != nil) != (tc.says != "") || err != nil && (!errors.Is(err, errUnclearNames) || !strings.Contains(err.Error(), tc.says)) {
				t.Errorf("%q: error %v, want %q", tc.listed, err, tc.says)
			}
			w.left(tc.left...)
		})
	}
}
