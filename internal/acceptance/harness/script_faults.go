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

// fault OP [times=N] [after=N] KIND [ARG]… puts a fault in front of an operation. The
// kinds are those of faultKinds, and clear, which removes all faults.
func fault(ts *testscript.TestScript, neg bool, args []string) {
	w, op, args := of(ts), args[0], args[1:]
	limit := func(f emulator.Fault) emulator.Fault { return f }
	for len(args) > 0 && strings.Contains(args[0], "=") && !strings.HasPrefix(args[0], "{") {
		name, n, _ := strings.Cut(args[0], "=")
		count, err := strconv.Atoi(n)
		ts.Check(err)
		inner := limit
		limit = func(f emulator.Fault) emulator.Fault {
			if name == "times" {
				return emulator.Times(count, inner(f))
			}
			return emulator.After(count, inner(f))
		}
		args = args[1:]
	}
	if args[0] == "clear" {
		w.ClearFaults()
		return
	}
	kind, ok := faultKinds[args[0]]
	if !ok {
		ts.Fatalf("no fault %q", args[0])
	}
	w.Intercept(op, limit(kind(faultArgs{ts, args[1:]})))
}

// faultArgs are the arguments after the kind of a fault.
type faultArgs struct {
	ts   *testscript.TestScript
	list []string
}

// number is an argument that is a number.
func (a faultArgs) number(i int) int {
	n, err := strconv.Atoi(a.list[i])
	a.ts.Check(err)
	return n
}

// seconds is an argument that is a number of seconds.
func (a faultArgs) seconds(i int) time.Duration { return time.Duration(a.number(i)) * time.Second }

// addHeaders adds the arguments from the given one on, each "NAME: VALUE", to a header.
func (a faultArgs) addHeaders(h http.Header, from int) http.Header {
	for _, line := range a.list[min(from, len(a.list)):] {
		name, value, _ := strings.Cut(line, ": ")
		h.Set(name, value)
	}
	return h
}

var faultKinds = map[string]func(faultArgs) emulator.Fault{
	"drop":        func(faultArgs) emulator.Fault { return emulator.Drop },
	"commit-drop": func(faultArgs) emulator.Fault { return emulator.CommitAndDrop },
	// STATUS BODY
	"commit-answer": func(a faultArgs) emulator.Fault {
		return emulator.CommitAndAnswer(a.number(0), nil, strings.Join(a.list[1:], " "))
	},
	// SECONDS
	"limit":    func(a faultArgs) emulator.Fault { return emulator.GitHubLimit(a.seconds(0)) },
	"late":     func(a faultArgs) emulator.Fault { return emulator.Late(a.seconds(0)) },
	"throttle": func(a faultArgs) emulator.Fault { return emulator.Throttle(a.seconds(0)) },
	// SECONDS; 0: the answer does not say how long to wait
	"throttle-vault": func(a faultArgs) emulator.Fault { return emulator.ThrottleVault(a.seconds(0)) },
	// HEADER…
	"header": func(a faultArgs) emulator.Fault { return emulator.WithHeader(a.addHeaders(http.Header{}, 0)) },
	// STATUS BODY [HEADER]…
	"answer": func(a faultArgs) emulator.Fault {
		header := http.Header{"Content-Type": {"application/json"}}
		return emulator.Answer(a.number(0), a.addHeaders(header, 2), a.list[1])
	},
	// CODE of an AADSTS error
	"entra": func(a faultArgs) emulator.Fault { return emulator.EntraError(a.number(0)) },
	// CLAIMS as JSON: a token must be requested with them
	"claims": func(a faultArgs) emulator.Fault { return emulator.ClaimsChallenge(a.list[0]) },
	// a byte order mark before the answer
	"bom": func(faultArgs) emulator.Fault {
		return emulator.Alter(func(r *emulator.Response) { r.Body = append([]byte("\xef\xbb\xbf"), r.Body...) })
	},
	"date":    misdate,
	"shorten": shorten,
	"pat":     changePAT,
	"echo":    echo,
}

// misdate DURATION dates the answers that far ahead.
func misdate(a faultArgs) emulator.Fault {
	ahead, err := time.ParseDuration(a.list[0])
	a.ts.Check(err)
	return emulator.Alter(func(r *emulator.Response) {
		r.Header().Set("Date", time.Now().Add(ahead).UTC().Format(http.TimeFormat))
	})
}

// shorten N cuts display names to that many characters.
func shorten(a faultArgs) emulator.Fault {
	n := a.number(0)
	return emulator.RewritePAT(func(pat map[string]any) {
		name := pat["displayName"].(string)
		pat["displayName"] = name[:min(n, len(name))]
	})
}

// changePAT JSON replaces fields of the PATs in an answer. A validTo of "+DURATION" is
// that much later.
func changePAT(a faultArgs) emulator.Fault {
	var fields map[string]any
	a.ts.Check(json.Unmarshal([]byte(a.list[0]), &fields))
	return emulator.RewritePAT(func(pat map[string]any) {
		for name, value := range fields {
			if text, ok := value.(string); ok && strings.HasPrefix(text, "+") && name == "validTo" {
				d, err := time.ParseDuration(text[1:])
				end, err2 := time.Parse(time.RFC3339, pat[name].(string))
				if err == nil && err2 == nil {
					value = end.Add(d).Format(time.RFC3339Nano)
				}
			}
			pat[name] = value
		}
	})
}

// echo STATUS answers with the request's credentials, as they are and in base64.
func echo(a faultArgs) emulator.Fault {
	status := a.number(0)
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		_ = r.ParseForm()
		text := r.Header.Get("Authorization")
		sent := []string{strings.TrimPrefix(text, "Bearer ")}
		for _, values := range r.PostForm {
			sent = append(sent, values...)
		}
		for _, s := range sent {
			text += " " + base64.StdEncoding.EncodeToString([]byte(s)) + " " + s
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		json.NewEncoder(w).Encode(map[string]any{"error": text, "error_description": text, "message": text, "typeKey": text,
			"correlation_id": text, "trace_id": text, "patTokenError": text, "patTokenErrorMessage": text})
	}
}
