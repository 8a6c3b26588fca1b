package emulator

import (
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A segment is one of a path's, with the key in parentheses if it has one, such as
// applications(appId='…').
type segment struct{ name, key, value string }

var keyed = regexp.MustCompile(`^(\w+)\((?:(\w+)=)?'((?:[^']|'')*)'\)$`)

// graphPath is the version and the segments of a path. A value may hold slashes and
// parentheses, if they are encoded; a quote in it is doubled.
func graphPath(u *url.URL) (version string, path []segment) {
	for i, part := range strings.Split(strings.Trim(u.EscapedPath(), "/"), "/") {
		text, err := url.PathUnescape(part)
		if err != nil {
			return "", nil
		}
		if i == 0 {
			version = text
			continue
		}
		s := segment{name: text}
		if m := keyed.FindStringSubmatch(text); m != nil {
			s = segment{m[1], m[2], strings.ReplaceAll(m[3], "''", "'")}
		}
		path = append(path, s)
	}
	return version, path
}

// one finds the key of a single object: the key in parentheses, or the next segment,
// and returns the rest of the path.
func one(path []segment) (s segment, rest []segment, found bool) {
	switch {
	case path[0].value != "" || path[0].key != "":
		return path[0], path[1:], true
	case len(path) > 1 && !strings.HasPrefix(path[1].name, "microsoft.graph."):
		return segment{value: path[1].name}, path[2:], true
	}
	return segment{}, path[1:], false
}

// A condition is one comparison of a $filter.
type condition struct{ property, operator, value string }

var conditions = []*regexp.Regexp{
	regexp.MustCompile(`^(?P<property>\w+) (?P<operator>eq) '(?P<value>(?:[^']|'')*)'$`),
	regexp.MustCompile(`^(?P<operator>startswith)\((?P<property>\w+), ?'(?P<value>(?:[^']|'')*)'\)$`),
	regexp.MustCompile(`^(?P<property>\w+)/(?P<operator>any)\((\w):(\w) eq '(?P<value>(?:[^']|'')*)'\)$`),
}

// parseFilter reads a $filter of comparisons joined by "and".
func parseFilter(filter string) ([]condition, *graphError) {
	var list []condition
	for _, part := range splitOutsideQuotes(filter, " and ") {
		part = strings.TrimSpace(part)
		var m []string
		var names []string
		for _, form := range conditions {
			m = form.FindStringSubmatch(part)
			if m != nil {
				names = form.SubexpNames()
				break
			}
		}
		if m == nil {
			return nil, badRequest("Invalid filter clause: Syntax error at '" + part + "' in '" + filter + "'.")
		}
		field := func(name string) string { return m[slices.Index(names, name)] }
		list = append(list, condition{field("property"), field("operator"), strings.ReplaceAll(field("value"), "''", "'")})
	}
	return list, nil
}

// splitOutsideQuotes splits a text where the separator is in no quoted string.
func splitOutsideQuotes(text, separator string) []string {
	var parts []string
	quoted, start := false, 0
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\'':
			quoted = !quoted
		case !quoted && strings.HasPrefix(text[i:], separator):
			parts = append(parts, text[start:i])
			start = i + len(separator)
			i = start - 1
		}
	}
	return append(parts, text[start:])
}

// holds reports whether an object meets the condition.
func (c condition) holds(object map[string]any) bool {
	switch have := object[c.property].(type) {
	case string:
		if c.operator == "startswith" {
			return len(have) >= len(c.value) && strings.EqualFold(have[:len(c.value)], c.value)
		}
		return c.operator == "eq" && strings.EqualFold(have, c.value)
	case []string:
		return c.operator == "any" && slices.ContainsFunc(have, func(s string) bool { return strings.EqualFold(s, c.value) })
	}
	return false
}

// list answers with the objects that the query selects. Filterable are the properties
// that may be in $filter. An object that was created a moment ago is left out.
func (c *graphCall) list(of string, objects []map[string]any, filterable ...string) (int, any, *graphError) {
	if err := c.options("$filter", "$select", "$top", "$count"); err != nil {
		return 0, nil, err
	}
	var where []condition
	if filter := c.query.Get("$filter"); filter != "" {
		var err *graphError
		where, err = parseFilter(filter)
		if err != nil {
			return 0, nil, err
		}
	}
	for _, condition := range where {
		if !slices.Contains(filterable, condition.property) {
			return 0, nil, &graphError{http.StatusBadRequest, "Request_UnsupportedQuery", "Unsupported or invalid query filter clause specified for property '" + condition.property + "' of resource '" + of + "'."}
		}
	}
	found := []any{}
	for _, object := range objects {
		if slices.ContainsFunc(where, func(k condition) bool { return !k.holds(object) }) {
			continue
		}
		if id, _ := object["id"].(string); c.freshLocked(id) {
			continue
		}
		found = append(found, c.selected(object))
	}
	if top, err := strconv.Atoi(c.query.Get("$top")); err == nil && top < len(found) {
		found = found[:top]
	}
	return http.StatusOK, map[string]any{"@odata.context": c.context(of), "value": found}, nil
}

// single answers with one object.
func (c *graphCall) single(status int, of string, object map[string]any) (int, any, *graphError) {
	if err := c.options("$select"); err != nil {
		return 0, nil, err
	}
	answer := c.selected(object)
	answer["@odata.context"] = c.context(of + "/$entity")
	return status, answer, nil
}

// options refuses query options that the operation does not know.
func (c *graphCall) options(known ...string) *graphError {
	for name := range c.query {
		if !slices.Contains(known, name) {
			return badRequest("The query specified in the URI is not valid. The emulator knows no option " + name + " here.")
		}
	}
	return nil
}

// selected is an object with the properties of $select alone, and its id.
func (c *graphCall) selected(object map[string]any) map[string]any {
	wanted := c.query.Get("$select")
	out := map[string]any{}
	for name, value := range object {
		if name == unshown {
			continue
		}
		if wanted == "" || name == "id" || strings.HasPrefix(name, "@") || slices.Contains(strings.Split(wanted, ","), name) {
			out[name] = value
		}
	}
	return out
}

// unshown is a property that can be filtered by and is not in the description that
// this emulator is held against.
const unshown = "servicePrincipalNames"
