package azurehosts

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"compress/gzip"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/cgi"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// repository serves git, and one call of the REST API.
func (s *Server) repository(w http.ResponseWriter, r *http.Request, host string) {
	if strings.HasPrefix(r.URL.Path, "/contoso/_apis/") {
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"count":0,"value":[]}`)
		return
	}
	if host == oldReposHost {
		r.URL.Path = "/contoso" + r.URL.Path
	}
	out, err := exec.CommandContext(r.Context(), "git", "--exec-path").Output()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	(&cgi.Handler{
		Path: filepath.Join(strings.TrimSpace(string(out)), "git-http-backend"), Root: "/",
		Env: []string{"GIT_PROJECT_ROOT=" + s.repositories, "GIT_HTTP_EXPORT_ALL=1", "REMOTE_USER=job", "GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=safe.directory", "GIT_CONFIG_VALUE_0=*"},
	}).ServeHTTP(w, r)
}

// A feed answers one request to a feed. It has version 1.0.0 of packages whose name
// begins with its own, and takes every upload.
type feed struct {
	http.ResponseWriter
	s          *Server
	r          *http.Request
	base, name string
}

// has reports whether the feed has a package, and answers 404 if it does not.
func (f feed) has(name string) bool {
	if strings.HasPrefix(strings.TrimPrefix(name, "@"), f.name) {
		return true
	}
	http.NotFound(f, f.r)
	return false
}

func (f feed) uploaded(method string, answer any) bool {
	if f.r.Method != method {
		return false
	}
	_, _ = io.Copy(io.Discard, f.r.Body)
	f.json(http.StatusCreated, answer)
	return true
}

func (f feed) json(status int, answer any) {
	f.Header().Set("Content-Type", "application/json")
	f.WriteHeader(status)
	_ = json.NewEncoder(f).Encode(answer)
}

type object = map[string]any

func (f feed) npm(rest string) {
	name := strings.TrimPrefix(rest, "registry/")
	tarball := tarOf("package/package.json", `{"name":"`+strings.TrimSuffix(name, "/-.tgz")+`","version":"1.0.0"}`)
	switch {
	case f.uploaded(http.MethodPut, object{"success": true}) || !f.has(name):
	case strings.HasSuffix(name, "/-.tgz"):
		_, _ = f.Write(tarball)
	default:
		dist := object{"tarball": f.base + "npm/registry/" + name + "/-.tgz", "shasum": fmt.Sprintf("%x", sha1.Sum(tarball))}
		f.json(http.StatusOK, object{"name": name, "dist-tags": object{"latest": "1.0.0"}, "versions": object{"1.0.0": object{"name": name, "version": "1.0.0", "dist": dist}}})
	}
}

func (f feed) pypi(rest string) {
	name := strings.Trim(strings.TrimPrefix(rest, "simple/"), "/")
	before, file, ok := strings.Cut(name, "/")
	switch {
	case rest == "upload/" && f.uploaded(http.MethodPost, object{}) || !f.has(name):
	case ok && strings.HasSuffix(file, ".whl"):
		_, _ = f.Write(wheelOf(before))
	default:
		f.Header().Set("Content-Type", "text/html")
		fmt.Fprintf(f, `<!DOCTYPE html><html><body><a href="%s-1.0-py3-none-any.whl">%s-1.0-py3-none-any.whl</a></body></html>`, name, name)
	}
}

func (f feed) maven(rest string) {
	pom := `<project><modelVersion>4.0.0</modelVersion><groupId>` + f.name + `</groupId><artifactId>parent</artifactId><version>1</version><packaging>pom</packaging></project>`
	file := "v1/" + f.name + "/parent/1/parent-1.pom"
	switch {
	case f.uploaded(http.MethodPut, object{}):
	case rest == file:
		fmt.Fprint(f, pom)
	case rest == file+".sha1":
		fmt.Fprintf(f, "%x", sha1.Sum([]byte(pom)))
	default:
		http.NotFound(f, f.r)
	}
}

func (f feed) cargo(rest string) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	name := f.name + "_crate"
	crate := tarOf(name+"-1.0.0/Cargo.toml", "[package]\nname = \""+name+"\"\nversion = \"1.0.0\"\nedition = \"2021\"\n", name+"-1.0.0/src/lib.rs", "")
	line := func(name string) string {
		return fmt.Sprintf(`{"name":%q,"vers":"1.0.0","deps":[],"cksum":"%x","features":{},"yanked":false}`+"\n", name, sha256.Sum256(crate))
	}
	index, isIndex := strings.CutPrefix(rest, "index/")
	switch uploaded, ok := f.s.crates[path.Base(rest)]; {
	case rest == "api/v1/crates/new" && f.r.Method == http.MethodPut:
		// https://doc.rust-lang.org/cargo/reference/registry-web-api.html#publish
		var size uint32
		var about struct{ Name string }
		err := binary.Read(f.r.Body, binary.LittleEndian, &size)
		if err == nil {
			err = json.NewDecoder(io.LimitReader(f.r.Body, int64(size))).Decode(&about)
		}
		if err != nil {
			http.Error(f, err.Error(), http.StatusBadRequest)
			return
		}
		f.s.crates[about.Name] = line(about.Name)
		f.json(http.StatusOK, object{})
	case index == "config.json":
		f.json(http.StatusOK, object{"dl": f.base + "Cargo/dl", "api": f.base + "Cargo", "auth-required": true})
	case isIndex && path.Base(rest) == name:
		fmt.Fprint(f, line(name))
	case isIndex && ok:
		fmt.Fprint(f, uploaded)
	case rest == "dl/"+name+"/1.0.0/download":
		_, _ = f.Write(crate)
	default:
		http.NotFound(f, f.r)
	}
}

func (f feed) nuget(rest string) {
	entry := object{"id": f.name, "version": "1.0.0", "listed": true}
	file := f.base + "nuget/v3/flat/" + f.name + "/1.0.0/" + f.name + ".1.0.0.nupkg"
	switch strings.TrimSuffix(rest, "/") {
	case "v3/index.json":
		f.json(http.StatusOK, object{"version": "3.0.0", "resources": []object{
			{"@id": f.base + "nuget/v3/flat/", "@type": "PackageBaseAddress/3.0.0"},
			{"@id": f.base + "nuget/v3/registrations/", "@type": "RegistrationsBaseUrl"},
			{"@id": f.base + "nuget/v3/registrations/", "@type": "RegistrationsBaseUrl/3.0.0-beta"},
			{"@id": f.base + "nuget/v3/registrations/", "@type": "RegistrationsBaseUrl/3.6.0"},
			{"@id": f.base + "nuget/v2/package", "@type": "PackagePublish/2.0.0"},
		}})
	case "v3/registrations/" + f.name + "/index.json":
		f.json(http.StatusOK, object{"count": 1, "items": []object{{
			"@id": f.base + rest, "count": 1, "lower": "1.0.0", "upper": "1.0.0",
			"items": []object{{"@id": f.base + rest + "#1", "catalogEntry": entry, "packageContent": file}},
		}}})
	case "v3/flat/" + f.name + "/index.json":
		f.json(http.StatusOK, object{"versions": []string{"1.0.0"}})
	case "v3/flat/" + f.name + "/1.0.0/" + f.name + ".1.0.0.nupkg":
		_, _ = f.Write(zipOf(f.name+".nuspec", `<?xml version="1.0"?><package xmlns="http://schemas.microsoft.com/packaging/2010/07/nuspec.xsd"><metadata><id>`+f.name+`</id><version>1.0.0</version><authors>a</authors><description>d</description></metadata></package>`))
	case "v2/package":
		f.uploaded(http.MethodPut, object{})
	default:
		http.NotFound(f, f.r)
	}
}

// tarOf is a compressed archive of files, as names and texts in turn.
func tarOf(files ...string) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	a := tar.NewWriter(z)
	for i := 0; i < len(files); i += 2 {
		_ = a.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Size: int64(len(files[i+1]))})
		_, _ = io.WriteString(a, files[i+1])
	}
	_ = a.Close()
	_ = z.Close()
	return b.Bytes()
}

func zipOf(files ...string) []byte {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(files); i += 2 {
		f, _ := z.Create(files[i])
		_, _ = io.WriteString(f, files[i+1])
	}
	_ = z.Close()
	return b.Bytes()
}

// wheelOf is a Python package without code.
func wheelOf(name string) []byte {
	info := name + "-1.0.dist-info/"
	files := []string{
		name + ".py", "",
		info + "METADATA", "Metadata-Version: 2.1\nName: " + name + "\nVersion: 1.0\n",
		info + "WHEEL", "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
	}
	record := ""
	for i := 0; i < len(files); i += 2 {
		sum := sha256.Sum256([]byte(files[i+1]))
		record += fmt.Sprintf("%s,sha256=%s,%d\n", files[i], base64.RawURLEncoding.EncodeToString(sum[:]), len(files[i+1]))
	}
	return zipOf(append(files, info+"RECORD", record+info+"RECORD,,\n")...)
}
