package harness

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/githubrunner"
)

// status N checks the exit status of the last start.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if got := strconv.Itoa(of(ts).status); got != args[0] {
		ts.Fatalf("exit status %s, want %s", got, args[0])
	}
}

// result RESULT checks how the last step ended, as far as its log tells.
func result(ts *testscript.TestScript, neg bool, args []string) {
	if got := of(ts).record.Result.String(); got != args[0] {
		ts.Fatalf("the result is %s, want %s", got, args[0])
	}
}

func matches(ts *testscript.TestScript, what, text, pattern string, neg bool) {
	re, err := regexp.Compile("(?m)" + pattern)
	ts.Check(err)
	if re.MatchString(text) == neg {
		ts.Fatalf("%s: match of %q is %v:\n%s", what, pattern, !neg, text)
	}
}

// output NAME PATTERN checks an output of the step.
func output(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	outputs, masked := w.outputs(ts, w.step), w.log.Masked
	if w.agent != nil {
		masked = w.agent.Masked
	}
	value, ok := outputs[args[0]]
	if !ok {
		ts.Fatalf("no output %s in %v", args[0], outputs)
	}
	matches(ts, "output "+args[0], value, args[1], neg)
	if masked := masked(value); masked != (args[0] == "token") {
		ts.Fatalf("output %s masked: %v", args[0], masked)
	}
}

// outputs are those of a step, or in Azure Pipelines of the step pat.
func (w *world) outputs(ts *testscript.TestScript, step *githubrunner.Step) map[string]string {
	if w.agent != nil {
		return w.agent.Outputs("pat")
	}
	outputs, err := step.Outputs()
	ts.Check(err)
	return outputs
}

// nooutput checks that the step has none.
func noOutput(ts *testscript.TestScript, neg bool, args []string) {
	if outputs := of(ts).outputs(ts, of(ts).step); len(outputs) > 0 {
		ts.Fatalf("outputs: %v", outputs)
	}
}

// state PATTERN checks the state that the step has left.
func state(ts *testscript.TestScript, neg bool, args []string) {
	saved, err := of(ts).main.State()
	ts.Check(err)
	matches(ts, "state", fmt.Sprint(saved), args[0], neg)
}

// summary PATTERN checks the step's summary.
func summary(ts *testscript.TestScript, neg bool, args []string) {
	if w := of(ts); w.agent != nil {
		matches(ts, "summary", strings.Join(w.record.Summaries, "\n"), args[0], neg)
		return
	}
	text, err := of(ts).step.Summary()
	ts.Check(err)
	matches(ts, "summary", text, args[0], neg)
}

// log [-KIND] PATTERN checks what a person sees of the last start: lines, or
// the annotations of a kind.
func log(ts *testscript.TestScript, neg bool, args []string) {
	kind := ""
	if len(args) == 2 {
		kind, args = strings.TrimPrefix(args[0], "-"), args[1:]
	}
	var text strings.Builder
	if w := of(ts); w.agent != nil {
		for _, line := range w.record.Lines {
			if kind == "" || line.Format == kind {
				text.WriteString(line.Text + "\n")
			}
		}
		for _, issue := range w.record.Issues { // all of it, however many lines
			if issue.Type == kind {
				text.WriteString(issue.Text + "\n")
			}
		}
		matches(ts, "log", text.String(), args[0], neg)
		return
	}
	for _, line := range of(ts).shown {
		if kind == "" || line.Command != nil && line.Command.Name == kind {
			if line.Command != nil {
				fmt.Fprintf(&text, "%s: %s: ", line.Command.Name, line.Command.Properties["title"])
			}
			text.WriteString(line.Text + "\n")
		}
	}
	matches(ts, "log", text.String(), args[0], neg)
}

// pats N checks how many PATs are active; pats N TOTAL also how many there ever
// were.
func pats(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	got := []string{strconv.Itoa(len(w.Active())), strconv.Itoa(len(w.PATs()))}[:len(args)]
	if !slices.Equal(got, args) {
		ts.Fatalf("PATs active, in all: %v, want %v", got, args)
	}
}

// requests OP N checks how many requests of a kind there were; "all" counts all.
func requests(ts *testscript.TestScript, neg bool, args []string) {
	ops := args[:1]
	if args[0] == "all" {
		ops = nil
	}
	if got := strconv.Itoa(len(of(ts).Requests(ops...))); got != args[1] {
		var list []string
		for _, r := range of(ts).Requests() {
			list = append(list, r.Op)
		}
		ts.Fatalf("%s requests of %s, want %s, in %v", got, args[0], args[1], list)
	}
}

// active PATTERN checks the names of the PATs that are active, a line each.
func activeNames(ts *testscript.TestScript, neg bool, args []string) {
	var names strings.Builder
	for _, p := range of(ts).Active() {
		names.WriteString(p.Name + "\n")
	}
	matches(ts, "active PATs", names.String(), args[0], neg)
}

// usable checks that the PAT that the step handed over works, or does not.
func usable(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	outputs := w.outputs(ts, w.main)
	req, err := http.NewRequest(http.MethodGet, w.URL(emulator.AzureDevOps)+"/contoso/_apis/connectionData?api-version=7.1-preview.1", nil)
	ts.Check(err)
	req.SetBasicAuth("", outputs["token"])
	resp, err := http.DefaultClient.Do(req)
	ts.Check(err)
	resp.Body.Close()
	if ok := resp.StatusCode == http.StatusOK; ok == neg {
		ts.Fatalf("the PAT is answered with %d", resp.StatusCode)
	}
}

// json NAME PATTERN checks a field of the object on standard output.
func jsonField(ts *testscript.TestScript, neg bool, args []string) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &object); err != nil {
		ts.Fatalf("standard output is no JSON object: %v", err)
	}
	value, ok := object[args[0]]
	if !ok {
		ts.Fatalf("no field %s in %v", args[0], slices.Sorted(maps.Keys(object)))
	}
	text := string(value) // a string loses its quotes
	_ = json.Unmarshal(value, &text)
	matches(ts, "field "+args[0], text, args[1], neg)
}

// found NAME [RULE…] checks the findings of the PAT of that name in list's JSON on
// standard output.
func found(ts *testscript.TestScript, neg bool, args []string) {
	var object struct {
		PATs []struct {
			Name     string `json:"display-name"`
			Findings []string
		}
	}
	if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &object); err != nil {
		ts.Fatalf("standard output is no JSON object: %v", err)
	}
	for _, p := range object.PATs {
		if p.Name == args[0] {
			if !slices.Equal(p.Findings, args[1:]) {
				ts.Fatalf("the findings of %q are %q, want %q", p.Name, p.Findings, args[1:])
			}
			return
		}
	}
	ts.Fatalf("%q is not listed", args[0])
}
