package harness

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"azdo-pat/internal/fakes/emulator"
)

// refreshTokenShown stands for the refresh token on standard output.
const refreshTokenShown = "REFRESH-TOKEN"

// signIn [NAME=VALUE…] begins a terminal at which login runs, with the settings of the
// app registration. The person at the browser is the service account.
func signIn(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	terminal(ts, false, []string{string(emulator.RefreshToken)})
	unset(ts, false, []string{"AZDO_PAT_REFRESH_TOKEN", "AZDO_PAT_SCOPES", "AZDO_PAT_FEDERATED_TOKEN_FILE"})
	w.person = w.Person()
	set(ts, false, args)
}

// person NAME=VALUE… says what the person at the browser does differently: username,
// password, code, or the page on which they press "Cancel".
func person(ts *testscript.TestScript, neg bool, args []string) {
	p := of(ts).person
	fields := map[string]*string{"username": &p.Username, "password": &p.Password, "code": &p.Code, "cancel": &p.Cancel}
	for _, arg := range args {
		name, value, _ := strings.Cut(arg, "=")
		if fields[name] == nil {
			ts.Fatalf("person: no %s", name)
		}
		*fields[name] = value
	}
}

// page PATTERN checks what the browser shows at the end.
func pageShown(ts *testscript.TestScript, neg bool, args []string) {
	matches(ts, "page", of(ts).page, args[0], neg)
}

// login [-stop STAGE] [-noaz] [ARGS…] runs azdo-pat login. The commands that it prints for
// az are run as they are, by a shell, unless -noaz; the last of them must leave no
// certificate. -stop interrupts it at a stage:
// certificate, browser, nobrowser, or the first request of an operation.
func loginStep(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	run := &loginRun{world: w, ts: ts, shown: make(chan struct{})}
	if len(args) > 1 && args[0] == "-stop" {
		run.stop, args = args[1], args[2:]
	}
	if len(args) > 0 && args[0] == "-noaz" {
		run.noAz, args = true, args[1:]
	}
	w.page = ""
	err := run.start(append([]string{"login"}, args...))
	stdout := run.stdout.String()
	w.Change(func(world *emulator.State) {
		for _, t := range world.RefreshTokens {
			stdout = strings.ReplaceAll(stdout, t.Value, refreshTokenShown)
		}
	})
	io.WriteString(ts.Stdout(), stdout)
	io.WriteString(ts.Stderr(), run.stderr.String())
	w.canary(ts, stdout, run.stderr.String())
	run.cleanUp()
	if neg == (err == nil) {
		ts.Fatalf("exit status %d", w.status)
	}
}

// loginRun is one run of login, with its browser and az.
type loginRun struct {
	*world
	ts     *testscript.TestScript
	stop   string
	noAz   bool
	cmd    *exec.Cmd
	bin    string // the folder of the stand-ins
	report *httptest.Server
	shown  chan struct{} // closed when the browser shows its last page
	stdout bytes.Buffer
	stderr bytes.Buffer
}

func (r *loginRun) start(args []string) error {
	r.report = httptest.NewServer(http.HandlerFunc(r.serve))
	defer r.report.Close()
	r.bin = r.standIns()
	path, err := Program()
	r.ts.Check(err)
	r.cmd = exec.Command(path, args...)
	r.cmd.Args[0], r.cmd.Dir, r.cmd.Stdout = "/azdo-pat", r.dir, &r.stdout
	env := maps.Clone(r.env)
	if _, ok := env["BROWSER"]; !ok {
		env["BROWSER"] = filepath.Join(r.bin, "browser")
	}
	person, err := json.Marshal(r.person)
	r.ts.Check(err)
	env["PERSON"], env["REPORT"] = string(person), r.report.URL
	for key, value := range env {
		r.cmd.Env = append(r.cmd.Env, key+"="+value)
	}
	if dir := os.Getenv("GOCOVERDIR"); dir != "" {
		r.cmd.Env = append(r.cmd.Env, "GOCOVERDIR="+dir)
	}
	if strings.Contains(r.stop, ".") {
		gate := emulator.NewGate()
		r.Intercept(r.stop, gate.Before)
		go func() {
			<-gate.Arrived()
			r.interrupt()
		}()
		defer r.ClearFaults()
	}
	stderr, err := r.cmd.StderrPipe()
	r.ts.Check(err)
	r.ts.Check(r.cmd.Start())
	opened := r.watch(stderr)
	err = r.cmd.Wait()
	r.status = r.cmd.ProcessState.ExitCode()
	if opened {
		<-r.shown
	}
	return err
}

// standIns makes the programs that login starts or prints.
func (r *loginRun) standIns() string {
	dir, err := os.MkdirTemp("", "azdo-pat-bin-")
	r.ts.Check(err)
	r.ts.Defer(func() { os.RemoveAll(dir) })
	self, err := os.Executable()
	r.ts.Check(err)
	for _, name := range []string{"az", "browser"} {
		r.ts.Check(os.Symlink(self, filepath.Join(dir, name)))
	}
	return dir
}

// watch reads standard error to its end and runs the command that adds the certificate,
// once login says that it waits for that: otherwise login might never have to wait. It
// reports whether the browser of the harness was opened.
//
// In a CI system login must not get that far. If it does, its log is on standard output,
// so the command is run at once: otherwise login would wait for half an hour.
func (r *loginRun) watch(stderr io.Reader) (opened bool) {
	ci := r.env["GITHUB_ACTIONS"] != "" || r.env["TF_BUILD"] != ""
	add := ""
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		r.stderr.WriteString(line + "\n")
		switch {
		case strings.HasPrefix(line, "az ad app credential reset "):
			switch {
			case r.stop == "certificate":
				r.interrupt()
			case r.noAz:
			case ci:
				r.shell(line)
			default:
				add = line
			}
		case strings.Contains(line, "waiting until Entra knows the certificate") && add != "":
			r.shell(add)
			add = "" // login says it again after a while
		case strings.Contains(line, "no browser: ") && r.stop == "nobrowser":
			r.interrupt()
		case strings.Contains(line, "/oauth2/v2.0/authorize?"):
			_, other := r.env["BROWSER"]
			opened = !other && !slices.Contains(r.cmd.Args, "--no-browser")
		}
	}
	return opened
}

func (r *loginRun) interrupt() { _ = r.cmd.Process.Signal(os.Interrupt) }

// shell runs a line as a person does who copies it.
func (r *loginRun) shell(line string) {
	cmd := exec.Command("sh", "-c", line)
	cmd.Env = append(os.Environ(), "PATH="+r.bin+":"+os.Getenv("PATH"), "REPORT="+r.report.URL)
	if out, err := cmd.CombinedOutput(); err != nil {
		fmt.Fprintf(&r.stderr, "harness: %s: %v: %s\n", line, err, out)
		r.interrupt() // it would wait for the certificate
	}
}

// cleanUp runs the last command for az, after which no certificate is left, nor its file.
func (r *loginRun) cleanUp() {
	lines := strings.Split(strings.TrimSpace(r.stderr.String()), "\n")
	i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, "az ad app credential list ") })
	added := slices.ContainsFunc(lines, func(line string) bool { return strings.HasPrefix(line, "az ad app credential reset ") })
	if added != (i >= 0) {
		r.ts.Fatalf("the command that removes the certificate was printed: %v", i >= 0)
	}
	if !added {
		return
	}
	r.report = httptest.NewServer(http.HandlerFunc(r.serve))
	defer r.report.Close()
	r.shell(lines[i])
	left := 0
	r.Change(func(world *emulator.State) { left = len(world.App(emulator.AppID).Keys) })
	if left > 0 {
		r.ts.Fatalf("%d certificates are left", left)
	}
	for _, line := range lines {
		if _, file, ok := strings.Cut(line, "--cert @"); ok {
			file, _, _ = strings.Cut(file, " ")
			if _, err := os.Stat(filepath.Dir(file)); !os.IsNotExist(err) {
				r.ts.Fatalf("the file of the certificate is left: %v", err)
			}
		}
	}
}

// serve answers the stand-ins.
func (r *loginRun) serve(w http.ResponseWriter, q *http.Request) {
	body, _ := io.ReadAll(q.Body)
	switch q.URL.Path {
	case "/opened":
		if r.stop == "browser" {
			r.interrupt()
		}
	case "/page":
		r.page = string(body)
		close(r.shown)
	case "/az":
		var args []string
		_ = json.Unmarshal(body, &args)
		out, err := r.az(args)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		io.WriteString(w, out)
	}
}

// az is what the Azure CLI does with an application's certificates. The last argument of
// reset is the certificate.
func (r *loginRun) az(args []string) (string, error) {
	is := func(want ...string) bool {
		return slices.EqualFunc(args, want, func(got, want string) bool { return want == "*" || got == want })
	}
	credential := []string{"ad", "app", "credential"}
	const name = "azdo-pat-login"
	switch {
	case is(slices.Concat(credential, []string{"reset", "--id", emulator.AppID, "--cert", "*", "--append", "--display-name", name})...):
		_, err := r.AddCertificate(emulator.AppID, args[7], name)
		return "{}\n", err
	case is(slices.Concat(credential, []string{"list", "--id", emulator.AppID, "--cert", "--query", "[?displayName=='" + name + "'].keyId", "-o", "tsv"})...):
		ids := ""
		r.Change(func(world *emulator.State) {
			for _, k := range world.App(emulator.AppID).Keys {
				ids += k.KeyID + "\n"
			}
		})
		return ids, nil
	case is(slices.Concat(credential, []string{"delete", "--id", emulator.AppID, "--key-id", "*", "--cert"})...):
		if !r.RemoveCertificate(emulator.AppID, args[7]) {
			return "", fmt.Errorf("no key %s", args[7])
		}
		return "", nil
	}
	return "", fmt.Errorf("not supported: %q", args)
}

// az passes its arguments on, with the content of a file for @FILE.
func az(args []string) int {
	for i, arg := range args {
		if file, ok := strings.CutPrefix(arg, "@"); ok {
			text, err := os.ReadFile(file)
			if err != nil {
				fmt.Fprintln(os.Stderr, "az:", err)
				return 1
			}
			args[i] = string(text)
		}
	}
	body, _ := json.Marshal(args)
	w, err := http.Post(os.Getenv("REPORT")+"/az", "application/json", bytes.NewReader(body))
	if err != nil {
		fmt.Fprintln(os.Stderr, "az:", err)
		return 1
	}
	defer w.Body.Close()
	out, _ := io.ReadAll(w.Body)
	if w.StatusCode != http.StatusOK {
		fmt.Fprintf(os.Stderr, "az: %s", out)
		return 1
	}
	os.Stdout.Write(out)
	return 0
}

// browser opens the address as the person does whom PERSON describes, and reports the
// last page.
func browser(args []string) int {
	fmt.Println("this must not reach the standard output of azdo-pat")
	report := func(path, text string) {
		if w, err := http.Post(os.Getenv("REPORT")+path, "text/html", strings.NewReader(text)); err == nil {
			w.Body.Close()
		}
	}
	report("/opened", "")
	var p emulator.Person
	if err := json.Unmarshal([]byte(os.Getenv("PERSON")), &p); err != nil || len(args) != 1 {
		report("/page", fmt.Sprintf("browser %q: %v", args, err))
		return 1
	}
	page, err := p.Visit(context.Background(), args[0])
	if err != nil {
		page.Text += "\n" + err.Error()
	}
	report("/page", page.Text)
	return 0
}
