package harness

import (
	"os"
	"path/filepath"
	"strconv"

	"github.com/rogpeppe/go-internal/testscript"

	"azdo-pat/internal/toolconfig"
)

// variable NAME PATTERN checks a variable that the last start set for later steps.
func variable(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	var value string
	var ok bool
	if w.agent != nil {
		value, _, ok = w.agent.Variable(args[0])
	} else {
		all, err := w.step.Variables()
		ts.Check(err)
		value, ok = all[args[0]]
	}
	if !ok && neg {
		return
	}
	if !ok {
		ts.Fatalf("the variable %s is not set", args[0])
	}
	matches(ts, "variable "+args[0], value, args[1], neg)
}

// folder DIR N checks how many folders of the setting configure are in a temp folder,
// and that no other user can read them. $FOLDER_PAT becomes the id of the last one's PAT.
func folder(ts *testscript.TestScript, neg bool, args []string) {
	all, err := filepath.Glob(filepath.Join(ts.MkAbs(args[0]), "azdo-pat-*-*"))
	ts.Check(err)
	if n := strconv.Itoa(len(all)); n != args[1] {
		ts.Fatalf("%s folders, want %s: %v", n, args[1], all)
	}
	for _, path := range all {
		info, err := os.Lstat(path)
		ts.Check(err)
		if info.Mode() != os.ModeDir|0o700 {
			ts.Fatalf("%s: mode %v", path, info.Mode())
		}
		files, err := os.ReadDir(path)
		ts.Check(err)
		for _, file := range files {
			if file.Name() == toolconfig.IDFile {
				id, err := os.ReadFile(filepath.Join(path, file.Name()))
				ts.Check(err)
				ts.Setenv("FOLDER_PAT", string(id))
			}
			info, err := file.Info()
			ts.Check(err)
			if info.Mode() != 0o600 {
				ts.Fatalf("%s: mode %v", file.Name(), info.Mode())
			}
		}
	}
}
