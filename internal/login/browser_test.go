package login

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

const someAddress = "https://login.test/authorize?client_id=x&scope=a+b"

func TestBrowserCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	withSpace := filepath.Join(dir, "a browser.exe")
	if err := os.WriteFile(withSpace, nil, 0o700); err != nil {
		t.Fatal(err)
	}
	list := string(filepath.ListSeparator)
	for value, want := range map[string][][]string{
		"firefox":                              {{"firefox", someAddress}},
		"firefox --new-window":                 {{"firefox", "--new-window", someAddress}},
		"firefox --url=%s -x":                  {{"firefox", "--url=" + someAddress, "-x"}},
		"firefox -P %s" + list + list + "lynx": {{"firefox", "-P", someAddress}, {"lynx", someAddress}},
		"x; touch y":                           {{"x;", "touch", "y", someAddress}},
		withSpace:                              {{withSpace, someAddress}},
	} {
		if got := browserCommands(value, someAddress); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, want %q", value, got, want)
		}
	}
}

func TestSystemOpener(t *testing.T) {
	t.Parallel()
	for system, want := range map[string]string{
		"linux": "xdg-open", "freebsd": "xdg-open", "darwin": "open", "windows": "rundll32 url.dll,FileProtocolHandler",
	} {
		if got := strings.Join(systemOpener(system, someAddress), " "); got != want+" "+someAddress {
			t.Errorf("%s: %s", system, got)
		}
	}
}
