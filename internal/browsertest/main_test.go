// Package browsertest has the tests of the sign-in in a real browser: Chromium, without
// a window, on the emulator's page.
package browsertest

import (
	"bufio"
	"context"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"azdo-pat/internal/acceptance/harness"
	"azdo-pat/internal/fakes/emulator"
)

// browserVariable names Chromium's program. Without it the tests are skipped; the stage
// browser of .ci/run sets it.
const browserVariable = "AZDO_PAT_BROWSER"

// screenshotsVariable names a folder for pictures of the last page. Empty: none are kept.
const screenshotsVariable = "AZDO_PAT_SCREENSHOTS"

func TestMain(m *testing.M) { harness.Main(m) }

// login is a run of azdo-pat login without a browser of its own.
type login struct {
	*testing.T
	*emulator.Emulator
	cmd      *exec.Cmd
	stdout   strings.Builder
	mu       sync.Mutex
	stderr   strings.Builder
	address  chan string // of Entra's page
	finished chan struct{}
}

// start starts the program, and adds the certificate that it makes.
func start(t *testing.T, args ...string) *login {
	t.Helper()
	if os.Getenv(browserVariable) == "" {
		t.Skipf("%s is not set", browserVariable)
	}
	path, err := harness.Program()
	if err != nil {
		t.Fatal(err)
	}
	e := emulator.Start(t)
	l := &login{T: t, Emulator: e, address: make(chan string, 1), finished: make(chan struct{})}
	l.cmd = exec.CommandContext(t.Context(), path, append([]string{"login", "--no-browser"}, args...)...)
	l.cmd.Stdout = &l.stdout
	l.cmd.Env = []string{"TMPDIR=" + t.TempDir()}
	settings := e.Settings(emulator.RefreshToken)
	for _, name := range []string{"organization", "client-id", "authority-host", "token-service-url"} {
		l.cmd.Env = append(l.cmd.Env, emulator.Variable(name)+"="+settings[name])
	}
	stderr, err := l.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go l.watch(stderr)
	return l
}

func (l *login) watch(stderr io.Reader) {
	defer close(l.finished)
	lines := bufio.NewScanner(stderr)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		line := lines.Text()
		l.mu.Lock()
		l.stderr.WriteString(line + "\n")
		l.mu.Unlock()
		if _, file, ok := strings.Cut(line, " --cert @"); ok {
			file, _, _ = strings.Cut(file, " ")
			text, err := os.ReadFile(file)
			if err == nil {
				_, err = l.AddCertificate(emulator.AppID, string(text), "azdo-pat-login")
			}
			if err != nil {
				l.Error(err)
			}
		}
		if strings.Contains(line, "/oauth2/v2.0/authorize?") {
			l.address <- line
		}
	}
}

// end waits for the program and checks its exit status.
func (l *login) end(status int) {
	l.Helper()
	<-l.finished
	err := l.cmd.Wait()
	if got, err := harness.ExitStatus(err); got != status {
		l.Errorf("exit status %d, %v; want %d\n%s", got, err, status, l.stderr.String())
	}
	token := strings.TrimSuffix(l.stdout.String(), "\n")
	if (token != "") != (status == 0) {
		l.Errorf("exit status %d, and standard output has %d characters", status, len(token))
	}
	if v := l.Violations(); len(v) > 0 {
		l.Errorf("violations: %v", v)
	}
}

// page is the address of Entra's page.
func (l *login) page() string {
	l.Helper()
	select {
	case address := <-l.address:
		return address
	case <-l.finished:
		l.Fatalf("it ended:\n%s", l.stderr.String())
		return ""
	}
}

// browser starts Chromium. The flags keep it from asking hosts that no test has.
func browser(t *testing.T) context.Context {
	t.Helper()
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(os.Getenv(browserVariable)),
		chromedp.NoSandbox, // root has none
		chromedp.DisableGPU, chromedp.Flag("disable-quic", true),
		chromedp.Flag("disable-component-update", true),
	)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = window(t, ctx)
	t.Cleanup(cancel)
	return ctx
}

// window opens a window, at first with the browser. It ends with the context in which it
// is opened, so that this must not be one with a time limit.
func window(t *testing.T, ctx context.Context) (context.Context, context.CancelFunc) {
	t.Helper()
	ctx, cancel := chromedp.NewContext(ctx)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx, cancel
}

type step = chromedp.Action[chromedp.Void]

// stepTimeout is how long a step may take, on a slow machine.
const stepTimeout = 30 * time.Second

func do(t *testing.T, ctx context.Context, steps ...step) {
	t.Helper()
	for i, s := range append(steps, chromedp.Steps()) {
		_, err := try(ctx, s)
		if err != nil {
			page, _ := try(ctx, chromedp.OuterHTML(chromedp.CSS("html")))
			t.Fatalf("step %d: %v; the page is\n%s", i+1, err, page)
		}
	}
}

func get[T any](t *testing.T, ctx context.Context, action chromedp.Action[T]) T {
	t.Helper()
	got, err := try(ctx, action)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func try[T any](ctx context.Context, action chromedp.Action[T]) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return chromedp.Run(ctx, action)
}
