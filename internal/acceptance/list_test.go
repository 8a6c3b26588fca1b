package acceptance

import (
	"bufio"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// listed is the object that list writes.
type listed struct {
	Organization string
	PATs         []struct {
		ID         string `json:"authorization-id"`
		Name       string `json:"display-name"`
		Scopes     []string
		ValidFrom  string `json:"valid-from"`
		ValidTo    string `json:"valid-to"`
		Kind       string
		Repository string
		RunID      string `json:"run-id"`
		Findings   []string
	}
	Failed   []string
	Complete bool
}

// An account with 250 PATs of every kind: each is listed once, with what is wrong with it,
// and the table and the summary begin with the worst.
func TestListOfEveryKind(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	kinds := e.SeedEveryKind(250)
	env := e.Env(emulator.AgentUser)
	env["INPUT_OUTPUT"], env["INPUT_FAIL-ON"] = "json", "full-access all-organizations long-lived=2h run-over other"
	env["INPUT_GITHUB-TOKEN"] = e.GitHubToken()
	step := harness.NewStep(t)
	cmd := harness.Command(t, env, step, "azdo-pat", "list")
	if err := cmd.Run(); err == nil || cmd.ProcessState.ExitCode() != 1 {
		t.Fatalf("%v\n%s", err, lastLines(harness.Output(cmd), 20))
	}
	var got listed
	decoder := json.NewDecoder(strings.NewReader(cmd.Stdout.(*strings.Builder).String()))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&got); err != nil {
		t.Fatal(err)
	}
	byID, count := map[string]emulator.PAT{}, map[string]int{}
	for _, p := range e.Active() {
		byID[p.ID] = p
	}
	for _, p := range got.PATs {
		seeded, ok := byID[p.ID]
		if !ok || p.Name != seeded.Name || strings.Join(p.Scopes, " ") != seeded.Scope {
			t.Errorf("%+v is not %+v, or listed twice", p, seeded)
		}
		delete(byID, p.ID)
		count[p.Kind]++
		for _, f := range p.Findings {
			count[f]++
		}
	}
	leases := kinds.Completed + kinds.Running + kinds.Terminal
	imitated := 250 - leases - kinds.Rotated - kinds.Other // hostile names that have a lease's form
	for name, want := range map[string]int{
		"full-access": kinds.FullAccess, "all-organizations": kinds.AllOrganizations, "long-lived=2h": kinds.LongLived,
		"run-over": kinds.Completed, "rotated": kinds.Rotated,
	} {
		if count[name] != want {
			t.Errorf("%d %s, want %d", count[name], name, want)
		}
	}
	// Each kind other has the finding other, so the two are counted under one name.
	if others := count["other"] / 2; count["other"]%2 != 0 || others+count["lease"]+count["rotated"] != 250 || count["lease"] < leases || others > kinds.Other {
		t.Errorf("%v, want %d leases and %d others; %d imitate", count, leases, kinds.Other, imitated)
	}
	if len(byID) > 0 || !got.Complete || got.Organization != "contoso" ||
		!slices.Equal(got.Failed, []string{"full-access", "all-organizations", "long-lived=2h", "run-over", "other"}) {
		t.Errorf("%d are missing; failed %q, complete %t", len(byID), got.Failed, got.Complete)
	}
	summary, err := step.Summary()
	_, rows, _ := strings.Cut(summary, "|---|---|---|---|---|---|\n")
	if err != nil || !strings.HasPrefix(rows, "| `full-access long-lived=2h other` | other | ") || strings.Count(rows, "\n|")+1 != 100 ||
		!strings.Contains(summary, "\n150 more are on standard output.\n") {
		t.Errorf("%v, the summary is\n%s", err, summary)
	}
	if v := e.Violations(); len(v) > 0 {
		t.Error(v)
	}
}

// A list of ten thousand PATs, as in CI (by default there are fewer), as a table with
// questions to GitHub, in bounded memory.
func TestListOfTenThousand(t *testing.T) {
	t.Parallel()
	n := manyPATs()
	for _, output := range []string{"text", "json"} {
		t.Run(output, func(t *testing.T) {
			t.Parallel()
			e := emulator.Start(t)
			seedMany(e, n-1, seededAge)
			e.Seed(emulator.PAT{Name: "zzz the worst", Scope: "app_token"})
			step := harness.NewStep(t)
			env := e.Env(emulator.AgentUser)
			env["INPUT_TIMEOUT"], env["INPUT_OUTPUT"] = "10m", output // the default is too short on a busy machine
			cmd := harness.Command(t, env, step, "azdo-pat", "list")
			cmd.Stdout = nil
			stdout, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			// The rest of the rows is more than a pipe holds, so the program is still there when
			// a quarter was read. As a table, all of them are sorted by then.
			var text strings.Builder
			used, rows := 0, 0
			for reader := bufio.NewReader(stdout); ; {
				line, err := reader.ReadString('\n')
				if text.WriteString(line); err != nil {
					break
				}
				if strings.Contains(line, "azdo-pat contoso/widgets run ") {
					if rows++; rows == n/4 {
						used = peakMemory(t, cmd.Process.Pid)
					}
				}
			}
			if err := cmd.Wait(); err != nil {
				t.Fatalf("%v\n%s", err, cmd.Stderr)
			}
			out := text.String()
			if got := len(e.Requests(emulator.OpList)); got != 2*n/100 {
				t.Errorf("%d pages were read", got)
			}
			if got := strings.Count(out, "azdo-pat contoso/widgets run "); got != n-1 {
				t.Errorf("%d PATs were written", got)
			}
			if first := "\nfull-access other  other  "; output == "text" && strings.Index(out, first) > strings.Index(out, "azdo-pat contoso/widgets run ") {
				t.Errorf("the worst is not first")
			}
			if summary, err := step.Summary(); err != nil || !strings.Contains(summary, fmt.Sprintf("\n%d more are ", n-100)) || strings.Count(summary, "`zzz the worst`") != 1 {
				t.Errorf("%v, summary of %d bytes", err, len(summary))
			}
			t.Logf("%d MiB resident, %s of processor time", used, cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime())
			if used >= maxResident() {
				t.Errorf("%d MiB resident, want less than %d", used, maxResident())
			}
		})
	}
}
