// Command defences checks that the tests that SECURITY.md names for a defence
// fail without it.
//
// The [table] holds a patch of one line for each of these defences. The command
// applies one patch at a time, runs the test that the row names, and requires
// it to fail. It changes no file of the repository: a patched Go file is handed
// to the compiler by go's -overlay, any other file is patched in a copy. Most
// patches share one build, see [withSwitches].
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
	"slices"
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
	b, err := newBuilder(ctx, root, tmp, rows)
	if err != nil {
		return err
	}
	queue := make(chan int)
	var mu sync.Mutex
	var failed []string
	var workers sync.WaitGroup
	for range max(1, jobs) {
		workers.Go(func() {
			for i := range queue {
				r := rows[i]
				start := time.Now()
				err := b.try(i, filepath.Join(tmp, fmt.Sprint(i)), index[r.test])
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

// builder builds the tests of packages, and the program.
type builder struct {
	ctx       context.Context
	root, tmp string
	rows      []row
	switched  map[int]bool // the rows that have a switch, by number
	env       []string     // for builds with the switches

	mu    sync.Mutex
	built map[string]func() (file string, err error) // the binaries with the switches, by package
}

// number is that of a row in markers.
func number(i int) int { return i + 1 }

// newBuilder writes the files of all rows with switches.
func newBuilder(ctx context.Context, root, tmp string, rows []row) (*builder, error) {
	b := &builder{ctx: ctx, root: root, tmp: tmp, rows: rows, switched: map[int]bool{}, built: map[string]func() (string, error){}}
	files := map[string]map[int]row{}
	for i, r := range rows {
		if strings.HasSuffix(r.file, ".go") {
			if files[r.file] == nil {
				files[r.file] = map[int]row{}
			}
			files[r.file][number(i)] = r
		}
	}
	texts := map[string]string{}
	for file, rows := range files {
		text, err := os.ReadFile(filepath.Join(root, file))
		if err != nil {
			return nil, err
		}
		switched, in, err := withSwitches(string(text), rows)
		if err != nil {
			return nil, err
		}
		for _, n := range in {
			b.switched[n] = true
		}
		texts[file] = switched
	}
	var err error
	b.env, err = b.overlay(tmp, texts)
	return b, err
}

// overlay returns an environment in which the go command reads other texts in the
// place of files.
func (b *builder) overlay(dir string, texts map[string]string) (env []string, err error) {
	replace := map[string]string{}
	for file, text := range texts {
		path := filepath.Join(dir, strings.ReplaceAll(file, "/", "_"))
		replace[filepath.Join(b.root, file)] = path
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			return nil, err
		}
	}
	list, err := json.Marshal(map[string]map[string]string{"Replace": replace})
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, "overlay.json")
	return append(os.Environ(), "GOFLAGS="+strings.TrimSpace(os.Getenv("GOFLAGS")+" -overlay="+path)), os.WriteFile(path, list, 0o644)
}

// acceptance is the package whose tests start the built program.
const acceptance = "internal/acceptance"

// program stands for the program itself where the name of a package is expected.
const program = ""

// build builds the tests of a package, or the program.
func (b *builder) build(pkg, binary string, env []string) error {
	args := []string{"test", "-vet=off", "-ldflags=-s -w", "-c", "-o", binary, "./" + pkg}
	if pkg == program {
		// As in the acceptance tests.
		args = []string{"build", "-trimpath", "-ldflags=-s -w", "-o", binary, "."}
		env = append(slices.Clone(env), "CGO_ENABLED=0")
	}
	cmd := exec.CommandContext(b.ctx, "go", args...)
	cmd.Dir, cmd.Env = b.root, env
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("it does not compile: %w\n%s", err, out)
	}
	return nil
}

// withSwitches builds the tests of a package, or the program, once.
func (b *builder) withSwitches(pkg string) (file string, err error) {
	b.mu.Lock()
	if b.built[pkg] == nil {
		b.built[pkg] = sync.OnceValues(func() (string, error) {
			file := filepath.Join(b.tmp, "switched-"+strings.ReplaceAll(pkg, "/", "_"))
			return file, b.build(pkg, file, b.env)
		})
	}
	build := b.built[pkg]
	b.mu.Unlock()
	return build()
}

// longest is how long one test may take. A test that hangs without the defence
// is not accepted: another patch shows it in less time.
const longest = 3 * time.Minute

// try runs the test of the row in the package pkg, and returns an error unless it
// fails with the patch, or passes where the row has none.
func (b *builder) try(i int, tmp, pkg string) error {
	r := b.rows[i]
	if err := os.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	binary, tree, env := filepath.Join(tmp, "azdo-pat.test"), b.root, os.Environ()
	if strings.HasSuffix(r.file, ".go") && !b.switched[number(i)] {
		text, err := os.ReadFile(filepath.Join(b.root, r.file))
		if err != nil {
			return err
		}
		// The tests that build the program see the overlay too.
		if env, err = b.overlay(tmp, map[string]string{r.file: strings.Replace(string(text), r.old, r.new, 1)}); err != nil {
			return err
		}
		if err := b.build(pkg, binary, env); err != nil {
			return err
		}
		return runTest(b.ctx, r, binary, filepath.Join(tree, pkg), env)
	}

	n := 0
	if b.switched[number(i)] {
		n = number(i)
	}
	copies := map[string]string{pkg: binary}
	if pkg == acceptance {
		copies[program] = filepath.Join(tmp, "azdo-pat")
		env = append(env, "AZDO_PAT_TEST_PROGRAM="+copies[program])
	}
	for pkg, file := range copies {
		switched, err := b.withSwitches(pkg)
		if err != nil {
			return err
		}
		if err := choose(switched, n, file); err != nil {
			return err
		}
	}
	if r.file != "" && n == 0 {
		tree = filepath.Join(tmp, "tree")
		if err := copyTree(tree, b.root); err != nil {
			return err
		}
		text, err := os.ReadFile(filepath.Join(b.root, r.file))
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(tree, r.file), []byte(strings.Replace(string(text), r.old, r.new, 1)), 0o755); err != nil {
			return err
		}
	}
	return runTest(b.ctx, r, binary, filepath.Join(tree, pkg), env)
}

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
		return errors.New("the test passes without the defence")
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
