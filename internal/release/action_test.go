package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const pinned = "ghcr.io/owner/repository@sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

// The released action differs from the one in the tree in its image alone.
func TestPinImage(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(tree, "action.yml"))
	if err != nil {
		t.Fatal(err)
	}
	got, err := pinImage(text, pinned)
	if err != nil {
		t.Fatal(err)
	}
	before, after := strings.Split(string(text), "\n"), strings.Split(string(got), "\n")
	if len(before) != len(after) {
		t.Fatalf("%d lines became %d", len(before), len(after))
	}
	var changed []string
	for i := range before {
		if before[i] != after[i] {
			changed = append(changed, before[i]+" → "+after[i])
		}
	}
	if want := "  image: Dockerfile →   image: docker://" + pinned; len(changed) != 1 || changed[0] != want {
		t.Errorf("changed %q, want %q", changed, want)
	}
}

func TestPinImageRefuses(t *testing.T) {
	const action = "runs:\n  using: docker\n  image: Dockerfile # built\n"
	if got, err := pinImage([]byte(action), pinned); err != nil || string(got) != "runs:\n  using: docker\n  image: docker://"+pinned+" # built\n" {
		t.Errorf("%q, %v", got, err)
	}
	for _, image := range []string{"", "ghcr.io/owner/repository:v1", "ghcr.io/Owner/repository" + pinned[strings.Index(pinned, "@"):], "owner/repository" + pinned[strings.Index(pinned, "@"):], pinned[:len(pinned)-1]} {
		if _, err := pinImage([]byte(action), image); err == nil {
			t.Errorf("image %q: no error", image)
		}
	}
	for _, text := range []string{"", "runs: docker\n", "runs:\n  using: docker\n", "runs: {image: [a]}\n", "runs:\n  image: 'Dockerfile'\n", "\t"} {
		if _, err := pinImage([]byte(text), pinned); err == nil {
			t.Errorf("%q: no error", text)
		}
	}
}

func TestNotes(t *testing.T) {
	changelog := "# Changelog\n\n## Unreleased\n\nsoon\n\n## 1.1.0 – 2026-01-02\n\n- new\n- newer\n\n## [1.0.0]\n\n- first\n\n## 0.9.0\n\n"
	for version, want := range map[string]string{"v1.1.0": "- new\n- newer\n", "v1.0.0": "- first\n", "v0.9.0": "", "v1.1": "", "v2.0.0": ""} {
		got, err := notes([]byte(changelog), version)
		if string(got) != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", version, got, err)
		}
	}
}

// The runner takes a caller's `with: entrypoint` and `with: args` where the
// action sets none of its own.
func TestActionStartsTheProgramAlone(t *testing.T) {
	var action struct {
		Runs map[string]any `yaml:"runs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(tree, "action.yml"))), &action); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"using": "docker", "image": "Dockerfile",
		"entrypoint": "/azdo-pat", "args": []any{"${{ inputs.command }}"}, "post-entrypoint": "/post",
	}
	if !reflect.DeepEqual(action.Runs, want) {
		t.Errorf("runs is %v, want %v", action.Runs, want)
	}
}

// GitHub Marketplace refuses a longer description, and an icon or colour that is not on
// its list.
func TestMarketplace(t *testing.T) {
	t.Parallel()
	var a struct {
		Name, Description string
		Branding          struct{ Icon, Color string }
	}
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(tree, "action.yml"))), &a); err != nil {
		t.Fatal(err)
	}
	if n := len(a.Description); n == 0 || n >= 125 {
		t.Errorf("the description has %d characters", n)
	}
	if a.Name == "" || a.Branding.Icon != "key" || a.Branding.Color != "blue" {
		t.Errorf("%+v", a)
	}
}
