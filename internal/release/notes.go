package main

import (
	"bytes"
	"fmt"
	"strings"
)

// notes returns the changelog's text for a version: the lines below its heading
// "## 1.2.3", which may have a date after it. A version without one is an error.
func notes(changelog []byte, version string) ([]byte, error) {
	want := strings.TrimPrefix(version, "v")
	var b bytes.Buffer
	found := false
	for line := range bytes.Lines(changelog) {
		if heading, ok := bytes.CutPrefix(line, []byte("## ")); ok {
			fields := bytes.Fields(heading)
			if found {
				break
			}
			found = len(fields) > 0 && string(bytes.Trim(fields[0], "[]")) == want
			continue
		}
		if found {
			b.Write(line)
		}
	}
	text := bytes.TrimSpace(b.Bytes())
	if len(text) == 0 {
		return nil, fmt.Errorf("there is no text under a heading %q", "## "+want)
	}
	return append(text, '\n'), nil
}
