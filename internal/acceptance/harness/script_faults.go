package harness

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"azdo-pat/internal/fakes/emulator"
)

// fault OP [times=N] [after=N] KIND [ARG] puts a fault in front of an operation.
func fault(ts *testscript.TestScript, neg bool, args []string) {
	w, op, args := of(ts), args[0], args[1:]
	wrap := func(f emulator.Fault) emulator.Fault { return f }
	for len(args) > 0 && strings.Contains(args[0], "=") && !strings.HasPrefix(args[0], "{") {
		name, n, _ := strings.Cut(args[0], "=")
		count, err := strconv.Atoi(n)
		ts.Check(err)
		inner := wrap
		wrap = func(f emulator.Fault) emulator.Fault {
			if name == "times" {
				return emulator.Times(count, inner(f))
			}
			return emulator.After(count, inner(f))
		}
		args = args[1:]
	}
	var f emulator.Fault
	number := func(i int) int {
		n, err := strconv.Atoi(args[i])
		ts.Check(err)
		return n
	}
	switch args[0] {
	case "clear":
		w.ClearFaults()
		return
	case "drop":
		f = emulator.Drop
	case "commit-drop":
		f = emulator.CommitAndDrop
	case "commit-answer":
		f = emulator.CommitAndAnswer(number(1), nil, strings.Join(args[2:], " "))
	case "limit":
		f = emulator.GitHubLimit(time.Duration(number(1)) * time.Second)
	case "late": // SECONDS
		f = emulator.Late(time.Duration(number(1)) * time.Second)
	case "header": // HEADER: VALUE…
		header := http.Header{}
		for _, h := range args[1:] {
			name, value, _ := strings.Cut(h, ": ")
			header.Set(name, value)
		}
		f = emulator.WithHeader(header)
	case "throttle":
		f = emulator.Throttle(time.Duration(number(1)) * time.Second)
	case "entra":
		f = emulator.EntraError(number(1))
	case "answer": // STATUS BODY [HEADER: VALUE]…
		header := http.Header{"Content-Type": {"application/json"}}
		for _, h := range args[3:] {
			name, value, _ := strings.Cut(h, ": ")
			header.Set(name, value)
		}
		f = emulator.Answer(number(1), header, args[2])
	case "date": // how far ahead the answers are dated
		ahead, err := time.ParseDuration(args[1])
		ts.Check(err)
		f = emulator.Alter(func(a *emulator.Response) {
			a.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
		})
	case "shorten": // display names, to so many characters
		f = emulator.RewritePAT(func(pat map[string]any) {
			name := pat["displayName"].(string)
			pat["displayName"] = name[:min(number(1), len(name))]
		})
	case "claims": // JSON that a token must be asked for with
		f = emulator.ClaimsChallenge(args[1])
	case "bom": // a byte order mark before the answer
		f = emulator.Alter(func(a *emulator.Response) { a.Body = append([]byte("\xef\xbb\xbf"), a.Body...) })
	case "pat": // JSON object of fields to put into the PAT that is answered
		var fields map[string]any
		ts.Check(json.Unmarshal([]byte(args[1]), &fields))
		f = emulator.RewritePAT(func(pat map[string]any) {
			for name, value := range fields {
				if s, ok := value.(string); ok && strings.HasPrefix(s, "+") && name == "validTo" {
					d, err := time.ParseDuration(s[1:])
					at, err2 := time.Parse(time.RFC3339, pat[name].(string))
					if err == nil && err2 == nil {
						value = at.Add(d).Format(time.RFC3339Nano)
					}
				}
				pat[name] = value
			}
		})
	case "echo": // an answer that repeats the request with all its credentials
		f = func(rw http.ResponseWriter, r *http.Request, _ http.Handler) {
			_ = r.ParseForm()
			text := r.Header.Get("Authorization")
			sent := []string{strings.TrimPrefix(text, "Bearer ")}
			for _, values := range r.PostForm {
				sent = append(sent, values...)
			}
			for _, s := range sent {
				text += " " + base64.StdEncoding.EncodeToString([]byte(s)) + " " + s
			}
			rw.Header().Set("Content-Type", "application/json")
			rw.WriteHeader(number(1))
			json.NewEncoder(rw).Encode(map[string]any{"error": text, "error_description": text, "message": text, "typeKey": text,
				"correlation_id": text, "trace_id": text, "patTokenError": text, "patTokenErrorMessage": text})
		}
	default:
		ts.Fatalf("no fault %q", args[0])
	}
	w.Intercept(op, wrap(f))
}
