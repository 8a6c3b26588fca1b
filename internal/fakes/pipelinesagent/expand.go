package pipelinesagent

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// This file expands Azure Pipelines' templates, which the service does before the
// agent sees a job: parameters, ${{ if }}, ${{ each }}, ${{ insert }}, templates
// and extends, by
// https://learn.microsoft.com/azure/devops/pipelines/process/template-expressions.
// Unknown syntax is an error.

// scope has the values that expressions can name.
type scope map[string]*yaml.Node

// expansionError is the value of the panic that ends an expansion.
type expansionError struct{ error }

func refuse(format string, args ...any) { panic(expansionError{fmt.Errorf(format, args...)}) }

// Expand reads a pipeline and evaluates its template expressions. A template in another
// repository, FILE@REPOSITORY, is read from root; others are relative to the file that
// names them.
func Expand(root, text string) (pipeline *yaml.Node, err error) {
	defer func() {
		if r, ok := recover().(expansionError); ok {
			err = r.error
		}
	}()
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(text), &document); err != nil {
		return nil, err
	}
	e := &expander{root: root, dir: root}
	pipeline = e.mapping(document.Content[0], scope{})
	if extends := field(pipeline, "extends"); extends != nil {
		for i := 0; i < len(pipeline.Content); i += 2 {
			if pipeline.Content[i].Value == "extends" {
				pipeline.Content = slices.Delete(pipeline.Content, i, i+2)
				break
			}
		}
		pipeline.Content = append(pipeline.Content, e.template(extends).Content...)
	}
	return pipeline, nil
}

type expander struct{ root, dir string }

// template reads the template that a mapping names, with the mapping's parameters.
func (e *expander) template(from *yaml.Node) *yaml.Node {
	name := field(from, "template").Value
	dir := e.dir
	if file, _, elsewhere := strings.Cut(name, "@"); elsewhere {
		name, dir = file, e.root
	}
	file := filepath.Join(dir, name)
	text, err := os.ReadFile(file)
	if err != nil {
		refuse("%v", err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(text, &document); err != nil {
		refuse("%s: %v", name, err)
	}
	given := map[string]*yaml.Node{}
	if parameters := field(from, "parameters"); parameters != nil {
		each(parameters, func(key string, value *yaml.Node) { given[key] = value })
	}
	parameters := &yaml.Node{Kind: yaml.MappingNode}
	for _, p := range field(document.Content[0], "parameters").Content {
		name := field(p, "name").Value
		value, ok := given[name]
		delete(given, name)
		if !ok {
			value = field(p, "default")
		}
		if value == nil {
			refuse("%s: the parameter %s is missing", file, name)
		}
		kinds := map[string]yaml.Kind{"string": yaml.ScalarNode, "object": value.Kind, "stepList": yaml.SequenceNode, "jobList": yaml.SequenceNode}
		if kind, known := kinds[field(p, "type").Value]; !known || kind != value.Kind {
			refuse("%s: the parameter %s is not of the type %s", file, name, field(p, "type").Value)
		}
		parameters.Content = append(parameters.Content, plain(name), value)
	}
	if len(given) > 0 {
		refuse("%s: unexpected parameters %q", file, slices.Sorted(maps.Keys(given)))
	}
	inner := &expander{root: e.root, dir: filepath.Dir(file)}
	body := inner.mapping(document.Content[0], scope{"parameters": parameters})
	rest := &yaml.Node{Kind: yaml.MappingNode}
	each(body, func(key string, value *yaml.Node) {
		if key != "parameters" {
			rest.Content = append(rest.Content, plain(key), value)
		}
	})
	return rest
}

// directive matches a key that is an if, each or insert.
var directive = regexp.MustCompile(`^\$\{\{ *(if|each|insert)\b *(.*?) *\}\}$`)

// node expands a value.
func (e *expander) node(n *yaml.Node, s scope) *yaml.Node {
	switch n.Kind {
	case yaml.MappingNode:
		return e.mapping(n, s)
	case yaml.SequenceNode:
		return e.sequence(n, s)
	case yaml.ScalarNode:
		return scalar(n, s)
	}
	refuse("line %d: aliases are not supported", n.Line)
	return nil
}

func (e *expander) mapping(n *yaml.Node, s scope) *yaml.Node {
	out := &yaml.Node{Kind: yaml.MappingNode, Line: n.Line}
	add := func(more *yaml.Node) {
		each(more, func(key string, value *yaml.Node) {
			if field(out, key) != nil {
				refuse("line %d: %q is already there", n.Line, key)
			}
			out.Content = append(out.Content, plain(key), value)
		})
	}
	each(n, func(key string, value *yaml.Node) {
		m := directive.FindStringSubmatch(key)
		switch {
		case m == nil:
			add(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{plain(scalar(plain(key), s).Value), e.node(value, s)}})
		case m[1] == "insert":
			inserted := e.node(value, s)
			if inserted.Kind != yaml.MappingNode {
				refuse("line %d: the inserted value is not a mapping", n.Line)
			}
			add(inserted)
		default:
			for _, inner := range branches(m, s) {
				add(e.mapping(value, inner))
			}
		}
	})
	return out
}

func (e *expander) sequence(n *yaml.Node, s scope) *yaml.Node {
	out := &yaml.Node{Kind: yaml.SequenceNode, Line: n.Line}
	for _, item := range n.Content {
		if item.Kind == yaml.MappingNode && len(item.Content) == 2 {
			if m := directive.FindStringSubmatch(item.Content[0].Value); m != nil && item.Content[1].Kind == yaml.SequenceNode {
				for _, inner := range branches(m, s) {
					out.Content = append(out.Content, e.sequence(item.Content[1], inner).Content...)
				}
				continue
			}
		}
		expanded := e.node(item, s)
		if expanded.Kind == yaml.MappingNode && field(expanded, "template") != nil {
			template := e.template(expanded)
			expanded = template.Content[1] // the steps or the jobs in it
		}
		if expanded.Kind == yaml.SequenceNode {
			out.Content = append(out.Content, expanded.Content...)
		} else {
			out.Content = append(out.Content, expanded)
		}
	}
	return out
}

// branches returns the scopes in which the children of an if or an each are expanded.
func branches(m []string, s scope) []scope {
	if m[1] == "if" {
		if truth(value(m[2], s)) {
			return []scope{s}
		}
		return nil
	}
	name, of, found := strings.Cut(m[2], " in ")
	if !found {
		refuse("%q: want each NAME in VALUE", m[0])
	}
	var all []scope
	in := value(strings.TrimSpace(of), s)
	with := func(n *yaml.Node) {
		inner := maps.Clone(s)
		inner[strings.TrimSpace(name)] = n
		all = append(all, inner)
	}
	switch in.Kind {
	case yaml.SequenceNode:
		for _, item := range in.Content {
			with(item)
		}
	case yaml.MappingNode:
		each(in, func(key string, value *yaml.Node) {
			with(&yaml.Node{Kind: yaml.MappingNode, Content: []*yaml.Node{plain("key"), plain(key), plain("value"), value}})
		})
	default:
		refuse("%q: neither a list nor a mapping", m[0])
	}
	return all
}

var inText = regexp.MustCompile(`\$\{\{ *(.*?) *\}\}`)

// scalar expands a text. If the whole text is one expression, the result is its value.
func scalar(n *yaml.Node, s scope) *yaml.Node {
	if m := inText.FindStringSubmatch(n.Value); m != nil && m[0] == n.Value {
		return value(m[1], s)
	}
	out := *n
	out.Value = inText.ReplaceAllStringFunc(n.Value, func(text string) string {
		v := value(inText.FindStringSubmatch(text)[1], s)
		if v.Kind != yaml.ScalarNode {
			refuse("line %d: %s is not a text", n.Line, text)
		}
		return v.Value
	})
	return &out
}

var (
	named    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$`)
	literal  = regexp.MustCompile(`^'((?:[^']|'')*)'$`)
	function = regexp.MustCompile(`^(eq|ne)\((.+), *(.+)\)$`)
	replace  = regexp.MustCompile(`^replace\(([^,]+), *([^,]+), *([^,]+)\)$`)
)

// value evaluates an expression: a name, a literal, replace, eq or ne.
func value(expression string, s scope) *yaml.Node {
	if m := literal.FindStringSubmatch(expression); m != nil {
		return plain(strings.ReplaceAll(m[1], "''", "'"))
	}
	if m := replace.FindStringSubmatch(expression); m != nil {
		text, old, with := value(m[1], s), value(m[2], s), value(m[3], s)
		if text.Kind != yaml.ScalarNode || old.Kind != yaml.ScalarNode || with.Kind != yaml.ScalarNode {
			refuse("%q: an argument is not a text", expression)
		}
		return plain(strings.ReplaceAll(text.Value, old.Value, with.Value))
	}
	if m := function.FindStringSubmatch(expression); m != nil {
		a, b := value(m[2], s), value(m[3], s)
		// Texts are compared without case; other values are never equal.
		same := a.Kind == yaml.ScalarNode && b.Kind == yaml.ScalarNode && strings.EqualFold(a.Value, b.Value)
		return plain(map[bool]string{true: "True", false: ""}[same == (m[1] == "eq")])
	}
	if !named.MatchString(expression) {
		refuse("unknown expression %q", expression)
	}
	parts := strings.Split(expression, ".")
	n, ok := s[parts[0]]
	if !ok {
		refuse("the expression %q names an unknown value", expression)
	}
	for i, part := range parts[1:] {
		if n.Kind != yaml.MappingNode {
			refuse("%q has no properties", strings.Join(parts[:i+1], "."))
		}
		n = field(n, part)
		if n == nil {
			if parts[0] == "parameters" {
				refuse("there is no %s", expression)
			}
			return plain("") // null
		}
	}
	return n
}

// truth is the value of a condition.
func truth(n *yaml.Node) bool { return n.Kind != yaml.ScalarNode || n.Value != "" }

func plain(s string) *yaml.Node { return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s} }

// field is a value of a mapping, or nil.
func field(n *yaml.Node, key string) (found *yaml.Node) {
	each(n, func(k string, value *yaml.Node) {
		if k == key {
			found = value
		}
	})
	return found
}

func each(n *yaml.Node, f func(key string, value *yaml.Node)) {
	if n.Kind != yaml.MappingNode {
		refuse("line %d: not a mapping", n.Line)
	}
	for i := 0; i < len(n.Content); i += 2 {
		f(n.Content[i].Value, n.Content[i+1])
	}
}
