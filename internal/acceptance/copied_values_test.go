package acceptance

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/githubrunner"
)

// environments are possible names of a GitHub environment, which is part of the
// subject: long ones, and ones with characters that a log hides or changes.
var environments = map[string]string{
	"long":                 strings.Repeat("long-name-", 46) + "end", // the subject has 500 characters
	"very long":            strings.Repeat("äöü ", 1300) + "end",
	"two spaces":           "pre  prod",
	"spaces at the end":    "prod  ",
	"joined emoji":         "prod 👩\u200d💻",
	"variation selector":   "prod ❤\ufe0f",
	"direction":            "prod\u202edorp",
	"a command":            "##[error]x\n::error::y\r##vso[task.complete]",
	"markup":               "``` <b>[x](http://evil.example) www.evil.example @octocat #1",
	"quotes":               "'\"`‘$HOME\\",
	"beyond the basic map": "\U000e0041𝒳",
	"no-break space":       "a\u00a0b\u2028c",
	"cut mark":             "prod… and more",
}

var (
	presentedSubject = regexp.MustCompile(`(?m)^  subject: (.*)$`)
	reportedSubject  = regexp.MustCompile(`(?m)^✓ assertion .* subject (.*?), audience api://`)
	proposedBody     = regexp.MustCompile(`(?m)^  (?:az .* --parameters|Invoke-MgGraphRequest .* -Body) '?(.*?)'?$`)
)

// The subject to copy is exactly what the job presented: in the error of mint, in
// each form of check's report, and in the commands in it. (Promise 9.) It does not
// become a logging command. (Promise 7.)
func TestCopiedValuesAreExact(t *testing.T) {
	t.Parallel()
	for name, environment := range environments {
		for _, identity := range []emulator.Identity{emulator.AgentUser, emulator.RefreshToken} {
			t.Run(name+", "+string(identity), func(t *testing.T) {
				t.Parallel()
				e := emulator.Start(t)
				e.Change(func(w *emulator.State) {
					w.App(emulator.BlueprintID).Credentials, w.App(emulator.AppID).Credentials = nil, nil
				})
				env := e.JobEnv(e.StartJob(emulator.Job{Environment: environment}), identity)
				want := "repo:contoso/widgets:environment:" + environment

				mint := harness.Command(t, env, harness.NewStep(t), "azdo-pat", "mint")
				if status, err := harness.ExitStatus(mint.Run()); status != 1 {
					t.Fatalf("status %d, %v", status, err)
				}
				checkShown(t, shownLog(t, harness.Output(mint)), presentedSubject, want)

				step := harness.NewStep(t)
				check := harness.Command(t, env, step, "azdo-pat", "check")
				if status, err := harness.ExitStatus(check.Run()); status != 1 {
					t.Fatalf("status %d, %v", status, err)
				}
				summary, err := step.Summary()
				if err != nil {
					t.Fatal(err)
				}
				for _, report := range []string{shownLog(t, harness.Output(check)), summary} {
					checkShown(t, report, reportedSubject, want)
					var body struct{ Subject string }
					text := proposedBody.FindStringSubmatch(report)
					if text == nil {
						t.Fatalf("no command in\n%s", report)
					}
					if err := json.Unmarshal([]byte(text[1]), &body); err != nil || body.Subject != want {
						t.Errorf("the command has %q, %v, want %q", body.Subject, err, want)
					}
				}

				check = harness.Command(t, env, harness.NewStep(t), "azdo-pat", "check", "--output", "json")
				if status, err := harness.ExitStatus(check.Run()); status != 1 {
					t.Fatalf("status %d, %v", status, err)
				}
				var report struct {
					Rows []struct{ Name, Seen, Fix string }
				}
				if err := json.Unmarshal([]byte(check.Stdout.(*strings.Builder).String()), &report); err != nil {
					t.Fatal(err)
				}
				shownLog(t, harness.Output(check))
				for _, row := range report.Rows {
					if row.Name == "assertion" {
						checkShown(t, "✓ assertion "+row.Seen, reportedSubject, want)
					}
				}
			})
		}
	}
}

// shownLog returns a log as a person sees it. A command that the program never
// writes is an error.
func shownLog(t *testing.T, log string) string {
	t.Helper()
	var b strings.Builder
	for _, line := range new(githubrunner.Log).Read(log) {
		if c := line.Command; c != nil && !slices.Contains([]string{"error", "group", "endgroup", "debug"}, c.Name) ||
			c != nil && c.Name == "error" && !strings.HasPrefix(c.Properties["title"], "azdo-pat ") {
			t.Errorf("unexpected command %+v", c)
		}
		if strings.Contains(line.Text, "##") {
			t.Errorf("unexpected line %s", line.Text)
		}
		b.WriteString(line.Text + "\n")
	}
	return b.String()
}

// checkShown checks a value that the text shows as it is or as a JSON string.
func checkShown(t *testing.T, text string, where *regexp.Regexp, want string) {
	t.Helper()
	match := where.FindStringSubmatch(text)
	if match == nil {
		t.Errorf("no value in\n%s", text)
		return
	}
	got := match[1]
	if strings.HasPrefix(got, `"`) {
		if !strings.Contains(text, "a value in double quotes is a JSON string") {
			t.Errorf("nothing says that %s is JSON", got)
		}
		if err := json.Unmarshal([]byte(got), &got); err != nil {
			t.Errorf("%s: %v", match[1], err)
		}
	}
	if got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
}
