// Command defences checks that the tests that SECURITY.md names for a defence
// fail without it.
//
// The [table] holds a patch of one line for each of these defences. The command
// applies one patch at a time, builds the test that the row names, and requires
// it to fail. It changes no file of the repository: a patched Go file is handed
// to the compiler by go's -overlay, any other file is patched in a copy.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"time"
)

func main() {
	jobs := flag.Int("j", 6, "how many patches are tried at a time; most tests wait more than they compute")
	only := flag.String("run", "", "try only the rows that match this regular expression, by defence, file or test")
	passed := flag.Bool("passed", false, "the tests have just passed without a patch, so do not run them again")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *jobs, *only, *passed); err != nil {
		fmt.Fprintln(os.Stderr, "defences:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, jobs int, only string, passed bool) error {
	filter, err := regexp.Compile(only)
	if err != nil {
		return err
	}
	root, err := filepath.Abs(".")
	if err != nil {
		return err
	}
	index, err := findTests(root)
	if err != nil {
		return err
	}
	if problems := check(root, index, table); len(problems) > 0 {
		return fmt.Errorf("the table is not usable:\n  %s", strings.Join(problems, "\n  "))
	}
	tmp, err := os.MkdirTemp("", "defences-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)

	var rows []row
	seen := map[string]bool{}
	for _, r := range table {
		if !filter.MatchString(r.defence + "\n" + r.file + "\n" + r.test) {
			continue
		}
		rows = append(rows, r)
		if !passed && !seen[r.test] { // A test that fails anyway would prove nothing.
			seen[r.test] = true
			rows = append(rows, row{test: r.test})
		}
	}

	begin := time.Now()
	b := &builder{ctx: ctx, root: root, tmp: tmp, built: map[string]func() (string, error){}}
	queue := make(chan int)
	var mu sync.Mutex
	var failed []string
	var workers sync.WaitGroup
	for range max(1, jobs) {
		workers.Go(func() {
			for i := range queue {
				r := rows[i]
				start := time.Now()
				err := b.try(ctx, r, filepath.Join(tmp, fmt.Sprint(i)), index[r.test])
				mu.Lock()
				fmt.Printf("%5.1f s  %s\n", time.Since(start).Seconds(), r)
				if err != nil {
					failed = append(failed, fmt.Sprintf("%s: %v", r, err))
				}
				mu.Unlock()
			}
		})
	}
	for i := range rows {
		queue <- i
	}
	close(queue)
	workers.Wait()
	if ctx.Err() != nil {
		return errors.New("interrupted")
	}
	if len(failed) > 0 {
		return fmt.Errorf("%d of %d failed:\n  %s", len(failed), len(rows), strings.Join(failed, "\n  "))
	}
	fmt.Printf("each of %d patches makes the test fail that SECURITY.md names (%.0f s)\n", len(rows)-len(seen), time.Since(begin).Seconds())
	return nil
}

// String names the row in the output.
func (r row) String() string {
	if r.file == "" {
		return r.test + " without a patch"
	}
	return fmt.Sprintf("%s: %s (%s: %.40s)", r.test, r.defence, r.file, r.old)
}

// builder builds the tests of packages.
type builder struct {
	ctx       context.Context
	root, tmp string

	mu    sync.Mutex
	built map[string]func() (string, error) // by package, without a patch
}

// build builds the tests of a package into dir.
func (b *builder) build(pkg, dir string, env []string) (binary string, err error) {
	binary = filepath.Join(dir, "azdo-pat.test")
	cmd := exec.CommandContext(b.ctx, "go", "test", "-vet=off", "-ldflags=-s -w", "-c", "-o", binary, "./"+pkg)
	cmd.Dir, cmd.Env = b.root, env
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("%w\n%s", err, out)
	}
	return binary, nil
}

// unpatched builds the tests of a package once.
func (b *builder) unpatched(pkg string) (binary string, err error) {
	b.mu.Lock()
	if b.built[pkg] == nil {
		b.built[pkg] = sync.OnceValues(func() (string, error) {
			dir, err := os.MkdirTemp(b.tmp, "unpatched-")
			if err != nil {
				return "", err
			}
			return b.build(pkg, dir, os.Environ())
		})
	}
	build := b.built[pkg]
	b.mu.Unlock()
	return build()
}

// acceptance is the package whose tests start the built program.
const acceptance = "internal/acceptance"

// longest is how long one test may take. A test that hangs without the defence
// is not accepted: another patch shows it in less time.
const longest = 3 * time.Minute

// try runs the row's test in the package pkg, and returns an error unless it
// fails with the patch, or passes where the row has none.
func (b *builder) try(ctx context.Context, r row, tmp, pkg string) error {
	tree := b.root
	env := os.Environ()
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	if r.file != "" {
		text, err := os.ReadFile(filepath.Join(b.root, r.file))
		if err != nil {
			return err
		}
		patched := []byte(strings.Replace(string(text), r.old, r.new, 1))
		if strings.HasSuffix(r.file, ".go") {
			overlay, err := writeOverlay(tmp, filepath.Join(b.root, r.file), patched)
			if err != nil {
				return err
			}
			// In the environment, so that tests that build the program use it too.
			env = append(env, "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+overlay))
		} else {
			tree = filepath.Join(tmp, "tree")
			if err := copyTree(tree, b.root); err != nil {
				return err
			}
			if err := os.WriteFile(filepath.Join(tree, r.file), patched, 0o755); err != nil {
				return err
			}
		}
	}

	var binary string
	var err error
	inGo := strings.HasSuffix(r.file, ".go")
	if inGo && pkg != acceptance {
		binary, err = b.build(pkg, tmp, env)
	} else {
		binary, err = b.unpatched(pkg)
	}
	if err != nil {
		return fmt.Errorf("it does not compile: %w", err)
	}
	err = runTest(ctx, r, binary, filepath.Join(tree, pkg), env)
	// Most acceptance tests build the program themselves, with the patch; their own
	// binary need not have it, which saves half of the time of all rows. Some start
	// that binary as the program.
	if errors.Is(err, errPasses) && inGo && pkg == acceptance {
		binary, err = b.build(pkg, tmp, env)
		if err != nil {
			return fmt.Errorf("it does not compile: %w", err)
		}
		err = runTest(ctx, r, binary, filepath.Join(tree, pkg), env)
	}
	return err
}

var errPasses = errors.New("the test passes without the defence")

// runTest runs the row's test, and returns an error unless it fails with the patch, or
// passes where the row has none.
func runTest(ctx context.Context, r row, binary, dir string, env []string) error {
	test := exec.CommandContext(ctx, binary, "-test.failfast", "-test.v", "-test.timeout="+longest.String(), "-test.run="+pattern(r.test))
	test.Dir, test.Env = dir, env
	out, err := test.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err != nil && !errors.As(err, &exit):
		return err
	case strings.Contains(string(out), "panic: test timed out"):
		return fmt.Errorf("the test did not end within %s", longest)
	case r.file != "" && strings.Contains(string(out), "go build: exit status"):
		return fmt.Errorf("it does not compile:\n%s", steps.ReplaceAll(out, nil))
	case strings.Contains(string(out), "--- SKIP:") && !strings.Contains(string(out), "--- PASS:"):
		return errors.New("the test was skipped")
	case r.file == "" && err != nil:
		return fmt.Errorf("the test fails although nothing was patched:\n%s", steps.ReplaceAll(out, nil))
	case r.file != "" && err == nil:
		return errPasses
	case r.file != "" && !strings.Contains(string(out), "--- FAIL:") && !strings.Contains(string(out), "panic:"):
		return fmt.Errorf("the test did not run:\n%s", out)
	}
	return nil
}

// steps are the lines that say which test runs.
var steps = regexp.MustCompile(`(?m)^=== .*\n`)

// pattern selects one test by its name in SECURITY.md.
func pattern(test string) string {
	if isFunction(test) {
		return "^" + test + "$"
	}
	return "^TestScripts$/^" + test + "$"
}

// writeOverlay writes what -overlay reads to put a text in a file's place.
func writeOverlay(dir, file string, text []byte) (overlay string, err error) {
	patched := filepath.Join(dir, "patched.go")
	if err := os.WriteFile(patched, text, 0o644); err != nil {
		return "", err
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": {file: patched}})
	if err != nil {
		return "", err
	}
	overlay = filepath.Join(dir, "overlay.json")
	return overlay, os.WriteFile(overlay, list, 0o644)
}

// copyTree copies the repository without git's own files.
func copyTree(to, from string) error {
	return filepath.WalkDir(from, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		switch {
		case entry.Name() == ".git" && entry.IsDir():
			return fs.SkipDir
		case entry.Name() == ".git":
			return nil
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, name), 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, name), text, info.Mode())
	})
}
