package ci

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/displayname"
	"azdo-pat/internal/fakes/pipelinesagent"
	"azdo-pat/internal/secret"
)

// asJSON is what a script reads.
var asJSON = map[string]string{
	"token": newPAT, "authorization-id": "4ab5764f-4193-4f1d-b995-64144880b7d7", "expires-at": "2026-11-02T13:00:00Z",
	"display-name": "azdo-pat octo/tools run 4711.1 build 0123456789abcdef", "scopes": "vso.code vso.packaging_write",
	"token-type": "pat",
}

// On a terminal standard output is the PAT and a line feed: whatever the log
// says is elsewhere.
func TestTerminalText(t *testing.T) {
	t.Parallel()
	p, stdout, stderr := newTerminal(false, nil)
	talk(t, p)
	if got := stdout.String(); got != newPAT+"\n" {
		t.Errorf("standard output %q", got)
	}
	if strings.Contains(stderr.String(), newPAT) || !strings.Contains(stderr.String(), "azdo-pat: said") {
		t.Errorf("standard error %q", stderr.String())
	}
}

func TestTerminalJSON(t *testing.T) {
	t.Parallel()
	p, stdout, stderr := newTerminal(true, nil)
	talk(t, p)
	object(t, stdout.String())
	if strings.Contains(stderr.String(), newPAT) || !strings.Contains(stderr.String(), "azdo-pat: said") {
		t.Errorf("standard error %q", stderr.String())
	}
}

// With --json, the log and the masks go to standard error, so that standard output
// holds only the JSON object. The outputs of the step are still written.
func TestGitHubJSON(t *testing.T) {
	t.Parallel()
	s := newStep(t, true)
	talk(t, s)
	object(t, s.stdout.String())
	all := commands(s.stderr.String())
	if len(all) < 6 || all[0].Name != "add-mask" || all[0].Data != newPAT || all[1].Name != "add-mask" || all[2].Name != "add-mask" {
		t.Errorf("standard error %q", s.stderr.String())
	}
	if got, err := pairs(s.file(t, outputFile)); err != nil || len(got) != 6 || got[5] != (pair{"token", newPAT}) {
		t.Errorf("outputs %q, %v", got, err)
	}
}

// talk does on a platform all that a mint does.
func talk(t *testing.T, p Platform) {
	t.Helper()
	if err := errors.Join(p.Prepare(displayname.Origin{}), MaskPAT(p, secret.New(newPAT)), p.Record("x")); err != nil {
		t.Fatal(err)
	}
	end := p.Log().Group("group")
	p.Log().Infof("said %s", newPAT)
	p.Log().Warning("warned", newPAT)
	end()
	if err := errors.Join(p.HandOver(minted), p.Summary("summary")); err != nil {
		t.Fatal(err)
	}
	p.Log().Infof("said at the end")
}

// object fails the test unless text is the object and nothing else, on a line.
func object(t *testing.T, text string) {
	t.Helper()
	var got map[string]string
	if err := json.Unmarshal([]byte(text), &got); err != nil || !maps.Equal(got, asJSON) {
		t.Errorf("got %q, %v, want %q", text, err, asJSON)
	}
	if strings.Count(text, "\n") != 1 || !strings.HasSuffix(text, "}\n") {
		t.Errorf("not one line: %q", text)
	}
}

// Guards a display name with "##[…]" in the label: the old form of a logging
// command counts anywhere in a line, in a line of JSON too.
func TestJSONIsNoCommand(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"##[error]x", "a ###[set-output name=b]c", "####[error]####", `a"##[error]b\`, "##", "##vso[task.complete]x", "::error::x"} {
		r := minted
		r.DisplayName = name
		for _, github := range []bool{true, false} {
			var stdout string
			if github {
				s := newStep(t, true)
				if err := s.HandOver(r); err != nil {
					t.Fatal(err)
				}
				stdout = s.stdout.String()
			} else {
				p, out, _ := newTerminal(true, nil)
				if err := p.HandOver(r); err != nil {
					t.Fatal(err)
				}
				stdout = out.String()
			}
			if all := commands(stdout); len(all) > 0 || vso(stdout) {
				t.Errorf("%q gave the commands %+v in %s", name, all, stdout)
			}
			var got map[string]string
			if err := json.Unmarshal([]byte(stdout), &got); err != nil || got["display-name"] != r.DisplayName {
				t.Errorf("%q was read back as %q, %v", r.DisplayName, got["display-name"], err)
			}
		}
	}
}

// HandOver must report a PAT that did not reach the caller, so that it is revoked.
func TestHandOverThatCannotBeWritten(t *testing.T) {
	t.Parallel()
	for _, asJSON := range []bool{false, true} {
		p := NewTerminal(Options{LookupEnv: newBareStep(false).lookup, Stdout: &failing{}, Stderr: new(bytes.Buffer), JSON: asJSON})
		if err := p.HandOver(minted); err == nil || strings.Contains(err.Error(), newPAT) {
			t.Errorf("terminal, JSON %v: %v", asJSON, err)
		}
	}
	s := newStep(t, true)
	g := NewGitHub(Options{LookupEnv: s.lookup, Stdout: &failing{}, Stderr: new(bytes.Buffer), JSON: true})
	if err := g.HandOver(minted); err == nil || strings.Contains(err.Error(), newPAT) {
		t.Errorf("GitHub, JSON: %v", err)
	}
}

// entraToken is as long as real ones get.
var entraToken = Result{
	Token: secret.New("eyJ0eXAiOiJKV1Qi." + strings.Repeat("q1W2e3R4_-", 240) + ".c2lnbmF0dXJl"), ExpiresAt: minted.ExpiresAt, Type: "entra",
}

// An Entra token is handed over like a PAT. What it does not have is empty: in Azure
// Pipelines the macro of a variable that is not set would stay as it is.
func TestHandOverEntraToken(t *testing.T) {
	t.Parallel()
	value := entraToken.Token.Reveal()
	forms := []string{value, base64.StdEncoding.EncodeToString([]byte(value)), base64.StdEncoding.EncodeToString([]byte(":" + value))}
	want := map[string]string{"token": value, "expires-at": "2026-11-02T13:00:00Z", "token-type": "entra", "authorization-id": "", "display-name": "", "scopes": ""}

	t.Run("GitHub", func(t *testing.T) {
		t.Parallel()
		s := newStep(t, false)
		if err := errors.Join(MaskPAT(s, entraToken.Token), s.HandOver(entraToken)); err != nil {
			t.Fatal(err)
		}
		var masked []string
		for _, c := range commands(s.stdout.String()) {
			masked = append(masked, c.Data)
		}
		if !slices.Equal(masked, forms) {
			t.Errorf("masked %.80q", masked)
		}
		got, err := pairs(s.file(t, outputFile))
		if err != nil || len(got) != len(want) {
			t.Fatalf("outputs %.200q, %v", got, err)
		}
		for _, p := range got {
			if p.value != want[p.name] {
				t.Errorf("output %s is %.80q", p.name, p.value)
			}
		}
	})
	t.Run("Azure Pipelines", func(t *testing.T) {
		t.Parallel()
		s := newPipelineStep(t, false)
		if err := errors.Join(MaskPAT(s, entraToken.Token), s.HandOver(entraToken)); err != nil {
			t.Fatal(err)
		}
		job, err := pipelinesagent.NewJob(t.TempDir(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if record := job.Read("pat", s.stdout.String()); len(record.Issues) > 0 || !job.Masked(forms[0]) || !job.Masked(forms[1]) || !job.Masked(forms[2]) {
			t.Errorf("the agent has %v, or does not mask the token", record.Issues)
		}
		got := job.Outputs("pat")
		if len(got) != len(want) {
			t.Errorf("outputs %.200q", got)
		}
		for name, value := range want {
			if v, ok := got[variables[name]]; !ok || v != value {
				t.Errorf("output %s is %.80q", variables[name], v)
			}
		}
	})
	t.Run("terminal", func(t *testing.T) {
		t.Parallel()
		p, stdout, _ := newTerminal(true, nil)
		if err := p.HandOver(entraToken); err != nil {
			t.Fatal(err)
		}
		var got map[string]string
		if err := json.Unmarshal(stdout.Bytes(), &got); err != nil || !maps.Equal(got, want) {
			t.Errorf("%.200q, %v", got, err)
		}
	})
}
