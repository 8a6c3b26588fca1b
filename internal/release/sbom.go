package main

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/json"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spdx/tools-golang/spdx/v2/common"
	spdx "github.com/spdx/tools-golang/spdx/v2/v2_3"
)

// binary is a program of a release.
type binary struct {
	Name    string
	Content []byte
}

// sbom returns the bill of materials of the binaries as SPDX 2.3 in JSON
// (https://spdx.github.io/spdx-spec/v2.3/): a package for each binary, with its checksum,
// and one for each module that the linker recorded in it. It applies to the image too,
// which has only the Linux binaries.
func sbom(binaries []binary, o origin) ([]byte, error) {
	source := cmp.Or(o.Source, "NOASSERTION")
	doc := spdx.Document{
		SPDXVersion: spdx.Version, DataLicense: spdx.DataLicense, SPDXIdentifier: "DOCUMENT",
		DocumentName: "azdo-pat " + o.Version,
		CreationInfo: &spdx.CreationInfo{
			Creators: []common.Creator{{CreatorType: "Tool", Creator: "azdo-pat-release"}},
			Created:  o.Time.UTC().Format(time.RFC3339),
		},
	}
	modules := map[string]*spdx.Package{}
	all := sha256.New()
	for _, b := range binaries {
		info, err := buildinfo.Read(bytes.NewReader(b.Content))
		if err != nil {
			return nil, fmt.Errorf("read the modules of %s: %w", b.Name, err)
		}
		sum := sha256.Sum256(b.Content)
		all.Write(sum[:])
		program := &spdx.Package{
			PackageName: b.Name, PackageSPDXIdentifier: reference("File", b.Name), PackageVersion: o.Version,
			PackageFileName: b.Name, PackageDownloadLocation: source,
			PackageChecksums:        []common.Checksum{{Algorithm: common.SHA256, Value: fmt.Sprintf("%x", sum)}},
			PackageLicenseConcluded: "Apache-2.0", PackageLicenseDeclared: "Apache-2.0",
			PackageCopyrightText: "NOASSERTION", PrimaryPackagePurpose: "APPLICATION",
			PackageSourceInfo: "built from commit " + o.Commit,
		}
		doc.Packages = append(doc.Packages, program)
		doc.Relationships = append(doc.Relationships, relation("DOCUMENT", common.TypeRelationshipDescribe, program.PackageSPDXIdentifier))
		for _, m := range linked(info) {
			p := modulePackage(m)
			modules[string(p.PackageSPDXIdentifier)] = p
			doc.Relationships = append(doc.Relationships, relation(program.PackageSPDXIdentifier, common.TypeRelationshipDependsOn, p.PackageSPDXIdentifier))
		}
	}
	for _, id := range slices.Sorted(maps.Keys(modules)) {
		doc.Packages = append(doc.Packages, modules[id])
	}
	// The namespace must be unique and reproducible. Nothing needs to exist at the URL.
	doc.DocumentNamespace = fmt.Sprintf("%s/spdx/azdo-pat-%s-%x",
		cmp.Or(o.Source, "https://spdx.org/spdxdocs"), o.Version, all.Sum(nil))

	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return nil, err
	}
	return append(text, '\n'), nil
}

// linked returns the modules in a binary, beginning with Go's standard library.
func linked(info *debug.BuildInfo) []debug.Module {
	all := []debug.Module{{Path: "stdlib", Version: strings.TrimPrefix(info.GoVersion, "go")}}
	for _, m := range info.Deps {
		for m.Replace != nil {
			m = m.Replace
		}
		all = append(all, *m)
	}
	return all
}

func modulePackage(m debug.Module) *spdx.Package {
	location := "NOASSERTION"
	if m.Path == "stdlib" {
		location = "https://go.dev/dl/go" + m.Version + ".src.tar.gz"
	}
	p := &spdx.Package{
		PackageName: m.Path, PackageSPDXIdentifier: reference("Module", m.Path+"@"+m.Version), PackageVersion: m.Version,
		PackageDownloadLocation: location,
		PackageLicenseConcluded: "NOASSERTION", PackageLicenseDeclared: "NOASSERTION",
		PackageCopyrightText: "NOASSERTION", PrimaryPackagePurpose: "LIBRARY",
		// Scanners look up vulnerabilities by this name.
		PackageExternalReferences: []*spdx.PackageExternalReference{{
			Category: common.CategoryPackageManager, RefType: common.TypePackageManagerPURL,
			Locator: "pkg:golang/" + escapePath(m.Path) + "@" + url.PathEscape(m.Version),
		}},
	}
	if m.Sum != "" {
		// SPDX does not have this algorithm among its checksums.
		p.PackageComment = "go.sum: " + m.Sum
	}
	return p
}

// escapePath escapes a module's path for a package URL
// (https://github.com/package-url/purl-spec).
func escapePath(path string) string {
	parts := strings.Split(path, "/")
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return strings.Join(parts, "/")
}

// notID matches characters that are not allowed in an SPDX identifier.
var notID = regexp.MustCompile(`[^A-Za-z0-9.-]+`)

func reference(kind, name string) common.ElementID {
	return common.ElementID(kind + "-" + notID.ReplaceAllString(name, "-"))
}

func relation(a common.ElementID, is string, b common.ElementID) *spdx.Relationship {
	return &spdx.Relationship{
		RefA: common.DocElementID{ElementRefID: a}, Relationship: is, RefB: common.DocElementID{ElementRefID: b},
	}
}
