package pipelinesagent

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"go.yaml.in/yaml/v3"
)

// An expansion that takes everything would prove nothing.
func TestExpand(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "t.yml"), []byte(`
parameters:
- {name: a, type: string}
- {name: list, type: stepList, default: []}
- {name: more, type: object, default: {}}
steps:
- ${{ if ne(parameters.a, '') }}:
  - bash: one ${{ parameters.a }} $(b)
- ${{ each step in parameters.list }}:
  - ${{ each pair in step }}:
      ${{ if ne(pair.key, 'env') }}:
        ${{ pair.key }}: ${{ pair.value }}
    env:
      ${{ if step.env }}:
        ${{ insert }}: ${{ step.env }}
      ${{ parameters.a }}_: x
- ${{ parameters.list }}
- bash: last
  env:
    ${{ insert }}: ${{ parameters.more }}
`), 0o644); err != nil {
		t.Fatal(err)
	}
	got, err := Expand(dir, `
steps:
- template: t.yml
  parameters:
    a: A
    list: [{bash: two}, {bash: three, env: {B: b}, name: n}]
    more: {M: m}
`)
	if err != nil {
		t.Fatal(err)
	}
	text, err := yaml.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	const want = `steps:
    - bash: one A $(b)
    - bash: two
      env:
        A_: x
    - bash: three
      name: "n"
      env:
        B: b
        A_: x
    - bash: two
    - bash: three
      env: {B: b}
      name: n
    - bash: last
      env:
        M: m
`
	normal := func(text string) any {
		var v any
		if err := yaml.Unmarshal([]byte(text), &v); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(v)
	}
	if normal(string(text)) != normal(want) {
		t.Errorf("got\n%s", text)
	}
	for _, wrong := range []string{
		"steps: [{template: t.yml}]",
		"steps: [{template: t.yml, parameters: {a: A, b: B}}]",
		"steps: [{template: t.yml, parameters: {a: [A]}}]",
		"steps: [{template: t.yml, parameters: {a: A, list: x}}]",
		"steps: [{template: t.yml, parameters: {a: A, list: [{bash: x, env: {A_: twice}}]}}]",
		"steps: [{template: nowhere.yml, parameters: {a: A}}]",
		"steps: [{bash: '${{ variables.x }}'}]",
		"steps: [{bash: '${{ coalesce(x) }}'}]",
	} {
		if got, err := Expand(dir, wrong); err == nil {
			t.Errorf("%s: %v", wrong, got)
		}
	}
}
