package ci

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A mint and a revoke in two steps of one job: the last line that mint wrote is
// what revoke reads, and after it mint writes no more.
func TestRecordFile(t *testing.T) {
	t.Parallel()
	mint := newPipelineStep(t, false)
	later := func() *AzurePipelines {
		return newPipelineStep(t, false, "AGENT_TEMPDIRECTORY", mint.temp).AzurePipelines
	}
	origin := mint.Origin("a")
	if err := mint.Record("started"); err != nil {
		t.Errorf("before the name of the lease is known: %v", err)
	}
	if err := errors.Join(mint.Prepare(origin), mint.Record("intended"), mint.Record("minted")); err != nil {
		t.Fatal(err)
	}
	revoke := later()
	if got, known := revoke.Close(origin, "over"); got != "minted" || !known {
		t.Errorf("revoke reads %q, %v", got, known)
	}
	if err := mint.Record("handed"); err != nil {
		t.Errorf("until the lease is closed: %v", err)
	}
	revoke.Closed("over")
	if err := mint.Record("more"); !errors.Is(err, errEnded) {
		t.Errorf("after the lease was closed: %v", err)
	}
	if got, known := later().Close(origin, "over"); got != "over" || !known {
		t.Errorf("the next revoke reads %q, %v", got, known)
	}
	if got, known := later().Close(mint.Origin("b"), "over b"); got != "over b" || !known {
		t.Errorf("of another lease: %q, %v", got, known)
	}
	// Another mint of the same name begins anew.
	again := later()
	if err := errors.Join(again.Prepare(origin), again.Record("intended again")); err != nil {
		t.Error(err)
	}
	if got, known := later().Close(origin, "over"); got != "intended again" || !known {
		t.Errorf("then revoke reads %q, %v", got, known)
	}
	entries, err := os.ReadDir(mint.temp)
	if err != nil || len(entries) != 2 {
		t.Errorf("the folder holds %v, %v", entries, err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err != nil || info.Mode().Perm() != 0o644 || !strings.HasPrefix(e.Name(), "azdo-pat-") {
			t.Errorf("%s, %v", e.Name(), err)
		}
	}
	if err := again.Record("a\nb"); !errors.Is(err, ErrMultiline) {
		t.Errorf("two lines: %v", err)
	}
}

// A lease that was closed before mint asked for anything is minted no more.
func TestRecordFileIsClosed(t *testing.T) {
	t.Parallel()
	mint := newPipelineStep(t, false)
	origin := mint.Origin("")
	if err := mint.Prepare(origin); err != nil {
		t.Fatal(err)
	}
	if got, known := newPipelineStep(t, false, "AGENT_TEMPDIRECTORY", mint.temp).Close(origin, "over"); got != "over" || !known {
		t.Errorf("revoke reads %q, %v", got, known)
	}
	if err := mint.Record("intended"); !errors.Is(err, errEnded) {
		t.Errorf("mint goes on: %v", err)
	}
}

// Without a folder for the record, nothing is known of the lease, and mint still works.
func TestNoRecordFile(t *testing.T) {
	t.Parallel()
	for _, variables := range [][]string{{"AGENT_TEMPDIRECTORY", ""}, {"SYSTEM_JOBID", ""}} {
		s := newPipelineStep(t, false, variables...)
		origin := s.Origin("")
		if err := errors.Join(s.Prepare(origin), s.Record("x")); err != nil {
			t.Errorf("%v: %v", variables, err)
		}
		if _, known := s.Close(origin, "over"); known {
			t.Errorf("%v: known", variables)
		}
		s.Closed("over")
		if entries, err := os.ReadDir(s.temp); err != nil || len(entries) > 0 {
			t.Errorf("%v: %v, %v", variables, entries, err)
		}
	}
	gone := newPipelineStep(t, false, "AGENT_TEMPDIRECTORY", filepath.Join(t.TempDir(), "gone"))
	origin := gone.Origin("")
	if err := gone.Prepare(origin); err != nil {
		t.Error(err)
	}
	if err := gone.Record("x"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a record without a folder: %v", err)
	}
	if _, known := gone.Close(origin, "over"); known {
		t.Error("known without a folder")
	}
	gone.Closed("over")
}

// What another step planted at the record's path (a link, a pipe, a folder) is not
// read as a record, and does not block the program.
func TestPlantedRecordFile(t *testing.T) {
	t.Parallel()
	for name, plant := range map[string]func(path string) error{
		"a folder": func(path string) error { return os.MkdirAll(filepath.Join(path, "x"), 0o755) },
		"a link":   func(path string) error { return os.Symlink("/etc/passwd", path) },
		"nothing":  func(path string) error { return os.WriteFile(path, nil, 0o644) },
	} {
		s := newPipelineStep(t, false)
		origin := s.Origin("")
		path := s.recordOf(origin).path
		if err := plant(path); err != nil {
			t.Fatal(err)
		}
		if got, known := s.Close(origin, "over"); got != "" || !known {
			t.Errorf("%s: %q, %v", name, got, known)
		}
		// mint does not write through it either.
		mint := newPipelineStep(t, false, "AGENT_TEMPDIRECTORY", s.temp)
		err := mint.Prepare(origin)
		if name == "a folder" {
			if err == nil {
				t.Errorf("%s: prepared", name)
			}
			s.Closed("over") // cannot be noted
			continue
		}
		if err = errors.Join(err, mint.Record("intended"), mint.Record("minted")); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if text, err := os.ReadFile(path); err != nil || string(text) != "minted\n" {
			t.Errorf("%s: %q, %v", name, text, err)
		}
	}
}
