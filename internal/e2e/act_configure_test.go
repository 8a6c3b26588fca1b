//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/azurehosts"
)

// actConfigure: the real tools work in the job's container with the files of two uses of
// configure, and with what the caller had. Nothing is left after the post steps.
//
// act shares no temp folder between the job's container and those of actions, so one is
// mounted into all of them.
func actConfigure(t *testing.T, w *workflow) {
	r := newRealTools(t, w.Emulator, "127.0.0.78")
	temp, scripts := t.TempDir(), t.TempDir()
	if err := os.Chmod(temp, 0o1777); err != nil {
		t.Fatal(err)
	}
	own := azurehosts.CallersVariables(t, filepath.Join(temp, "own"))
	for name, value := range own { // as the job sees it
		own[name] = "'" + strings.ReplaceAll(value, temp, "/tmp") + "'" // act expands $ in its file
	}
	maps.Copy(w.env, own)
	w.vars["CONFIGURE"], w.vars["SCRIPTS"] = r.settings(), scripts
	var want []string
	for _, tool := range r.all {
		functions := map[string][]string{"widgets": {"use", "own"}}
		if slices.Contains([]string{"git", "npm", "curl"}, tool.Name) { // which are fast
			functions["gadgets"] = []string{"use", "foreign"}
		}
		for feed, functions := range functions {
			name := tool.Name + "-" + feed
			want = append(want, name)
			var script strings.Builder
			for _, key := range slices.Sorted(maps.Keys(r.env)) {
				fmt.Fprintf(&script, "export %s='%s'\n", key, r.env[key])
			}
			script.WriteString(tool.Command(feed, functions...))
			if err := os.WriteFile(filepath.Join(scripts, name+".sh"), []byte(script.String()), 0o644); err != nil {
				t.Fatal(err)
			}
		}
	}
	w.containers = []string{"-v", temp + ":/tmp", "-v", filepath.Join(r.Dir, "hosts") + ":/etc/hosts:ro"}
	for _, dir := range []string{r.Dir, scripts} {
		w.containers = append(w.containers, "-v", dir+":"+dir+":ro")
	}
	w.containers = append(w.containers, "-v", r.home+":"+r.home)
	for _, m := range r.mounts {
		w.containers = append(w.containers, "-v", m.host+":"+m.container+":ro")
	}
	if r.mounts != nil { // the job's image is too small for all tools
		for _, dir := range []string{"/usr", "/etc/alternatives", "/etc/maven", "/etc/mono", "/etc/java-17-openjdk", "/etc/java-21-openjdk"} {
			if _, err := os.Stat(dir); err == nil {
				w.containers = append(w.containers, "-v", dir+":"+dir+":ro")
			}
		}
	}
	if !w.run(t) {
		t.Error("the job failed")
	}
	slices.Sort(want)
	if got := w.log.said("tool"); !slices.Equal(got, want) {
		t.Errorf("%q worked, want %q", got, want)
	}
	if leaked := r.Take().Leaked(); len(leaked) > 0 {
		t.Errorf("a PAT was sent to %q", leaked)
	}
	w.pats(t, 0, 2)
	w.eachRevokedOnce(t)
	if left, err := filepath.Glob(filepath.Join(temp, "azdo-pat-*")); err != nil || len(left) > 0 {
		t.Errorf("left: %q, %v", left, err)
	}
}
