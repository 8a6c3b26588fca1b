package main

import (
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"regexp"
	"runtime"
	"strings"
	"testing"

	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// The SBOM names each binary by its checksum and every module in it, and is the
// same each time it is made.
func TestSBOM(t *testing.T) {
	content := built(t)
	binaries := []binary{{"azdo-pat-linux-" + runtime.GOARCH, content}}
	text, err := sbom(binaries, tested)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := sbom(binaries, tested); err != nil || !bytes.Equal(text, again) {
		t.Errorf("made again it differs (%v)", err)
	}

	var doc spdx.Document
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	if doc.CreationInfo.Created != "2023-11-14T22:13:20Z" || !strings.HasPrefix(doc.DocumentNamespace, tested.Source+"/spdx/") {
		t.Errorf("created %s, namespace %s", doc.CreationInfo.Created, doc.DocumentNamespace)
	}
	ids := map[string]bool{"DOCUMENT": true}
	locators := map[string]bool{}
	for _, p := range doc.Packages {
		id := string(p.PackageSPDXIdentifier)
		if ids[id] || !regexp.MustCompile(`^[A-Za-z0-9.-]+$`).MatchString(id) {
			t.Errorf("identifier %q is there twice or malformed", id)
		}
		ids[id] = true
		for _, r := range p.PackageExternalReferences {
			locators[r.Locator] = true
		}
		// Without this a reader would take it that each file in it is listed.
		if p.FilesAnalyzed {
			t.Errorf("%s: files analyzed", id)
		}
	}
	for _, r := range doc.Relationships {
		if !ids[string(r.RefA.ElementRefID)] || !ids[string(r.RefB.ElementRefID)] {
			t.Errorf("a relationship of what is not there: %+v", r)
		}
	}
	program := doc.Packages[0]
	if got, want := program.PackageChecksums[0].Value, fmt.Sprintf("%x", sha256.Sum256(content)); got != want || program.PackageVersion != tested.Version {
		t.Errorf("%s of version %s, want %s of %s", got, program.PackageVersion, want, tested.Version)
	}
	info, err := buildinfo.Read(bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"pkg:golang/stdlib@" + strings.TrimPrefix(runtime.Version(), "go")}
	for _, m := range info.Deps {
		want = append(want, "pkg:golang/"+m.Path+"@"+m.Version)
	}
	for _, w := range want {
		if !locators[w] {
			t.Errorf("%s is missing", w)
		}
	}
	if len(locators) != len(want) {
		t.Errorf("%d modules, want %d", len(locators), len(want))
	}

	if _, err := sbom([]binary{{"not a program", []byte("text")}}, tested); err == nil {
		t.Error("what is no program has an SBOM")
	}
}
