package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	"go.yaml.in/yaml/v3"
)

// pinImage replaces the scalar runs.image of an action.yml by docker://IMAGE@DIGEST, so
// that the runner pulls the image instead of building it. Every other byte stays. The
// runner evaluates no expression there.
func pinImage(text []byte, image string) ([]byte, error) {
	digest, err := name.NewDigest(image, name.StrictValidation)
	if err != nil {
		return nil, fmt.Errorf("-image: %w", err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	if len(document.Content) == 0 {
		return nil, errors.New("the file is empty")
	}
	node := child(child(document.Content[0], "runs"), "image")
	if node == nil || node.Kind != yaml.ScalarNode || node.Style != 0 {
		return nil, errors.New("runs.image is not a plain, unquoted text")
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	line, at := string(lines[node.Line-1]), node.Column-1
	if !strings.HasPrefix(line[at:], node.Value) {
		return nil, fmt.Errorf("runs.image was not found on line %d", node.Line)
	}
	lines[node.Line-1] = []byte(line[:at] + "docker://" + digest.Name() + line[at+len(node.Value):])
	return bytes.Join(lines, nil), nil
}

// child is the value of a key in a mapping, or nil.
func child(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
