package policy

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"

	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// Compile reads a policy. The error is [*Problems].
//
// Of YAML it takes mappings, lists and scalars, in one document. Tags, anchors, aliases
// and merge keys are errors, and so are characters that show another text than the one
// that is read: a reader of the policy must see what it says.
func Compile(text []byte) (*Policy, error) {
	c := &compiler{}
	if len(text) > MaxSize {
		c.add(0, 0, fmt.Sprintf("the policy has more than %d KiB", MaxSize>>10))
		return nil, &c.problems
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	c.lines = strings.Split(strings.ReplaceAll(string(text), "\r\n", "\n"), "\n")
	if c.characters(text); c.failed() {
		return nil, &c.problems
	}
	root := c.parse(strings.Join(c.lines, "\n"))
	if c.failed() {
		return nil, &c.problems
	}
	p := c.policy(root)
	if c.failed() {
		slices.SortStableFunc(c.problems.List, func(a, b Problem) int {
			return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column))
		})
		return nil, &c.problems
	}
	return p, nil
}

// compiler collects what is wrong with one policy.
type compiler struct {
	lines    []string
	problems Problems
	warnings []string
}

func (c *compiler) failed() bool { return len(c.problems.List) > 0 }

func (c *compiler) add(line, column int, text string) {
	if len(c.problems.List) == maxProblems {
		c.problems.More = true
		return
	}
	p := Problem{Line: line, Column: column, Text: text}
	if line > 0 && line <= len(c.lines) {
		p.source = c.lines[line-1]
	}
	c.problems.List = append(c.problems.List, p)
}

// wrong adds a problem with the value of a node.
func (c *compiler) wrong(n *yaml.Node, found, allowed string) {
	c.add(n.Line, n.Column, fmt.Sprintf("found %s; allowed: %s", found, allowed))
}

// hidden are the characters that no text of a policy has: control characters, and those
// that change how the text around them is shown.
func hidden(r rune) bool {
	return unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control) || r == '\ufeff' || r == utf8.RuneError
}

// characters checks that lines end where every editor shows them to end, and that the
// text is shown in the order in which it is read.
func (c *compiler) characters(text []byte) {
	if !utf8.Valid(text) {
		at := 0
		for at < len(text) {
			r, n := utf8.DecodeRune(text[at:])
			if r == utf8.RuneError && n == 1 {
				break
			}
			at += n
		}
		before := string(text[:at])
		line := strings.Count(before, "\n") + 1
		c.add(line, utf8.RuneCountInString(before[strings.LastIndexByte(before, '\n')+1:])+1, "found bytes that are not UTF-8; allowed: UTF-8 text")
		return
	}
	for i, line := range c.lines {
		column := 0
		for _, r := range line {
			column++
			if r != '\t' && hidden(r) {
				c.add(i+1, column, fmt.Sprintf("found the character U+%04X, which is not visible; allowed: text that is shown as it is read", r))
				return
			}
		}
	}
}

// parse returns the root of the only document.
func (c *compiler) parse(text string) *yaml.Node {
	const nothing = "found nothing but white space and comments; allowed: a policy with version, mode and rules"
	if !slices.ContainsFunc(c.lines, func(line string) bool {
		line = strings.TrimLeft(line, " \t")
		return line != "" && line[0] != '#'
	}) {
		c.add(0, 0, nothing)
		return nil
	}
	d := yaml.NewDecoder(strings.NewReader(text))
	var document, next yaml.Node
	if err := d.Decode(&document); err != nil {
		c.syntax(err)
		return nil
	}
	switch err := d.Decode(&next); {
	case err == nil:
		c.add(next.Line, next.Column, "found a second document; allowed: one")
		return nil
	case !errors.Is(err, io.EOF):
		c.syntax(err)
		return nil
	}
	root := document.Content[0]
	if root.Kind == yaml.ScalarNode && root.Tag == "!!null" && root.Value == "" {
		c.add(0, 0, nothing)
		return nil
	}
	c.plain(root, 1)
	return root
}

// plain refuses what makes YAML mean something else than what it shows.
func (c *compiler) plain(n *yaml.Node, depth int) {
	switch {
	case depth > maxDepth:
		c.add(n.Line, n.Column, fmt.Sprintf("found more than %d nested lists and mappings; a policy has 5 at most", maxDepth))
		return
	case n.Kind == yaml.AliasNode:
		c.add(n.Line, n.Column, "found an alias (*); write its value instead, since a policy has no aliases. A text that starts with * needs quotes")
		return
	case n.Anchor != "":
		c.add(n.Line, n.Column, "found an anchor (&); a policy has no anchors. A text that starts with & needs quotes")
		return
	case n.Style&yaml.TaggedStyle != 0:
		c.add(n.Line, n.Column, "found a tag (!); a policy has no tags. A text that starts with ! needs quotes")
		return
	}
	for _, child := range n.Content {
		c.plain(child, depth+1)
	}
}

// syntax adds an error of the YAML library, at the place where the text stops being YAML.
// The line in the error is often that of the beginning of the list or mapping, and for
// some errors one too few.
func (c *compiler) syntax(err error) {
	libraryLine := regexp.MustCompile(`^yaml: (line [0-9]+: )?`)
	anchorPlace := regexp.MustCompile(`(^|[ \[{,:-])[*&]`) // without a name behind it
	line, column := c.syntaxPlace()
	text := "not YAML: " + sanitize.Line(libraryLine.ReplaceAllString(err.Error(), ""), 200)
	source := []rune(c.lines[line-1])
	indent := len(source) - len([]rune(strings.TrimLeft(string(source), " \t")))
	if tab := slices.Index(source, '\t'); tab >= 0 && tab < indent {
		column, text = tab+1, "not YAML: found a tab; indent with spaces"
	} else if at := anchorPlace.FindIndex([]byte(string(source))); at != nil && strings.Contains(text, "alphabetic or numeric") {
		column = utf8.RuneCountInString(string(source)[:at[1]])
	}
	if column <= len(source) && strings.ContainsRune("*&!@`", source[column-1]) {
		text += fmt.Sprintf(". A text that starts with %c needs quotes", source[column-1])
	}
	c.add(line, column, text)
}

// maxTries limits how often a text that is not YAML is read again to find the place.
const maxTries = 500

// syntaxPlace returns the place after the longest beginning of the text that is YAML: the
// whole lines, then the characters of the next line.
func (c *compiler) syntaxPlace() (line, column int) {
	line = len(c.lines)
	for tries := 0; line > 1 && !isYAML(strings.Join(c.lines[:line-1], "\n")); line-- {
		tries++
		if tries > maxTries {
			return 1, 1
		}
	}
	before := strings.Join(c.lines[:line-1], "\n") + "\n"
	source := []rune(c.lines[line-1])
	column = min(len(source), maxTries)
	for column > 0 && !isYAML(before+string(source[:column])) {
		column--
	}
	return line, min(column+1, max(1, len(source)))
}

// isYAML reports whether a text is one or more YAML documents, or none.
func isYAML(text string) bool {
	d := yaml.NewDecoder(strings.NewReader(text))
	for {
		var document yaml.Node
		if err := d.Decode(&document); err != nil {
			return errors.Is(err, io.EOF)
		}
	}
}

// kindOf names what a node is.
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!str":
		return quote(n.Value)
	}
	return quote(n.Value) + " without quotes, which YAML reads as a number, a boolean or a date"
}

// quote repeats a text of the policy, unless it is long or may be a credential.
func quote(text string) string {
	if n := utf8.RuneCountInString(text); n > 60 || secret.Resembles(text) {
		return fmt.Sprintf("a text of %d characters", n)
	}
	return sanitize.Quote(text, false)
}

// entries checks the keys of a mapping and returns their values in order. allowed are
// the keys that it can have; nil: any.
func (c *compiler) entries(n *yaml.Node, what string, allowed []string) (keys []string, values map[string]*yaml.Node) {
	if n.Kind != yaml.MappingNode {
		c.wrong(n, kindOf(n), what)
		return nil, nil
	}
	values = map[string]*yaml.Node{}
	lines := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		switch name := key.Value; {
		case key.Kind != yaml.ScalarNode:
			c.add(key.Line, key.Column, fmt.Sprintf("found %s as a key; allowed: a name", kindOf(key)))
		case key.ShortTag() == "!!merge":
			c.add(key.Line, key.Column, "found a merge key (<<); write the keys instead, since a policy has no merge keys")
		case lines[name] > 0:
			c.add(key.Line, key.Column, fmt.Sprintf("found the key %s a second time; it is in line %d too", quote(name), lines[name]))
		case allowed != nil && !slices.Contains(allowed, name):
			c.unknownKey(key, allowed)
		default:
			lines[name] = key.Line
			keys, values[name] = append(keys, name), value
		}
	}
	return keys, values
}
