package setup

import (
	"fmt"
	"slices"
	"strings"

	"azdo-pat/internal/quote"
	"azdo-pat/internal/sanitize"
)

// A variable is one of the script. Its value has plain characters only: the script
// checks that before it uses it.
type variable string

// A text is a word of strings and variables.
type text []any

// words makes a text of its parts.
func words(parts ...any) text { return parts }

// variables are those in the text.
func (t text) variables() (all []variable) {
	for _, part := range t {
		if v, ok := part.(variable); ok {
			all = append(all, v)
		}
	}
	return all
}

// with returns the text with values for its variables.
func (t text) with(values map[variable]string) string {
	var b strings.Builder
	for _, part := range t {
		switch part := part.(type) {
		case string:
			b.WriteString(part)
		case variable:
			b.WriteString(values[part])
		}
	}
	return b.String()
}

// bound returns the text with those of its variables replaced that have a value.
func (t text) bound(values map[variable]string) text {
	out := make(text, len(t))
	for i, part := range t {
		out[i] = part
		if v, ok := part.(variable); ok {
			if value, known := values[v]; known {
				out[i] = value
			}
		}
	}
	return out
}

// bash returns the text as one word of a shell.
func (t text) bash() string {
	if literal := t.with(nil); len(t.variables()) == 0 && (!strings.Contains(literal, "'") || strings.ContainsAny(literal, "!$") || sanitize.NeedsEscape(literal)) {
		return quote.Shell(literal)
	}
	return `"` + t.expanded(quote.DoubleQuoted, "[") + `"`
}

// powerShell returns the text as one word of PowerShell.
func (t text) powerShell() string {
	if len(t.variables()) == 0 {
		return quote.PowerShell(t.with(nil))
	}
	if v, ok := t[0].(variable); ok && len(t) == 1 {
		return "$" + string(v)
	}
	return `"` + t.expanded(quote.PowerShellDoubleQuoted, ":?") + `"`
}

// expanded returns what is between double quotes. The name of a variable is in braces
// if the character that follows could be a part of it; further lists such characters
// besides letters, digits and "_".
func (t text) expanded(literal func(string) string, further string) string {
	var b strings.Builder
	for i, part := range t {
		v, ok := part.(variable)
		if !ok {
			b.WriteString(literal(part.(string)))
			continue
		}
		next := ""
		if i+1 < len(t) {
			next, _ = t[i+1].(string)
		}
		if next != "" && (isNameRune(rune(next[0])) || strings.IndexByte(further, next[0]) >= 0) {
			b.WriteString("${" + string(v) + "}")
		} else {
			b.WriteString("$" + string(v))
		}
	}
	return b.String()
}

func isNameRune(c rune) bool {
	return c == '_' || c >= 0x80 || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z'
}

// An object is a JSON object. A value is a string, a text, a bool, an object, a list,
// or a raw, which is a variable that holds JSON.
type (
	object []field
	field  struct {
		name  string
		value any
	}
	list []any
	raw  variable
)

// jsonOf returns a value as JSON. Variables are written by name.
func jsonOf(v any, name func(variable) string) string {
	var parts []string
	switch v := v.(type) {
	case bool:
		return fmt.Sprint(v)
	case raw:
		return name(variable(v))
	case string:
		return quote.JSON(v)
	case text:
		var b strings.Builder
		for _, part := range v {
			switch part := part.(type) {
			case string:
				s := quote.JSON(part)
				b.WriteString(s[1 : len(s)-1])
			case variable:
				b.WriteString(name(part))
			}
		}
		return `"` + b.String() + `"`
	case list:
		for _, item := range v {
			parts = append(parts, jsonOf(item, name))
		}
		return "[" + strings.Join(parts, ",") + "]"
	case object:
		for _, f := range v {
			parts = append(parts, quote.JSON(f.name)+":"+jsonOf(f.value, name))
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	panic(fmt.Sprintf("no JSON value: %T", v))
}

// variablesOf lists the variables in a value.
func variablesOf(v any) (all []variable) {
	switch v := v.(type) {
	case raw:
		return []variable{variable(v)}
	case text:
		return v.variables()
	case list:
		for _, item := range v {
			all = append(all, variablesOf(item)...)
		}
	case object:
		for _, f := range v {
			all = append(all, variablesOf(f.value)...)
		}
	}
	return all
}

// boundValue returns a value with those of its variables replaced that are known.
func boundValue(v any, values map[variable]string) any {
	switch v := v.(type) {
	case text:
		return v.bound(values)
	case list:
		out := make(list, len(v))
		for i, item := range v {
			out[i] = boundValue(item, values)
		}
		return out
	case object:
		out := make(object, len(v))
		for i, f := range v {
			out[i] = field{f.name, boundValue(f.value, values)}
		}
		return out
	}
	return v
}

// A service is an API with an address and tokens of its own.
type service struct {
	base string // of its URLs
	// resource is what the Azure CLI gets a token for. known: the Azure CLI finds it
	// out from the URL.
	resource string
	known    bool
	// token is the variable of PowerShell that has the token; empty: Graph's module has it.
	token string
}

var (
	graph     = service{base: "https://graph.microsoft.com/v1.0/", known: true}
	graphBeta = service{base: "https://graph.microsoft.com/beta/", known: true}
	// arm is Azure Resource Manager.
	arm = service{base: "https://management.azure.com", resource: "https://management.azure.com/", known: true, token: "armToken"}
)

// entitlements is Azure DevOps' API of an organization's members.
func entitlements(organization string) service {
	return service{base: "https://vsaex.dev.azure.com/" + organization + "/_apis/", resource: AzureDevOps, token: "azdoToken"}
}

// identities is Azure DevOps' API of who is known in an organization.
func identities(organization string) service {
	return service{base: "https://vssps.dev.azure.com/" + organization + "/_apis/graph/", resource: AzureDevOps, token: "azdoToken"}
}

// A request is one call of an API.
type request struct {
	service service
	method  string
	path    text // after the service's base, encoded as a URL is
	headers []field
	body    any // nil: none
}

func (r request) url() text { return append(words(r.service.base), r.path...) }

func (r request) variables() []variable { return append(r.path.variables(), variablesOf(r.body)...) }

func (r request) bound(values map[variable]string) command {
	r.path, r.body = r.path.bound(values), boundValue(r.body, values)
	return r
}

// bash returns the request as a command of the Azure CLI.
func (r request) bash() string { return strings.Join(r.bashWords(), " ") }

// bashWords are the words of the command, an option and its value in one.
func (r request) bashWords() []string {
	out := []string{"az rest", "--method " + r.method}
	if !r.service.known {
		out = append(out, "--resource "+r.service.resource)
	}
	out = append(out, "--url "+r.joinedURL().bash())
	for _, h := range r.headers {
		out = append(out, "--headers "+quote.Shell(h.name+"="+h.value.(string)))
	}
	if r.body != nil {
		out = append(out, "--body "+jsonText(r.body).bash())
	}
	return out
}

// joinedURL is the URL with as few parts as possible.
func (r request) joinedURL() text { return r.url().joined() }

// joined joins strings that follow one another.
func (t text) joined() (out text) {
	for _, part := range t {
		if s, ok := part.(string); ok && len(out) > 0 {
			if before, ok := out[len(out)-1].(string); ok {
				out[len(out)-1] = before + s
				continue
			}
		}
		out = append(out, part)
	}
	return out
}

// jsonText returns a value as a text of JSON.
func jsonText(v any) text {
	// A mark that no JSON of the package has keeps the variables apart.
	const mark = "\x00"
	marked := jsonOf(v, func(name variable) string { return mark + string(name) + mark })
	var t text
	for i, part := range strings.Split(marked, mark) {
		if i%2 == 0 {
			t = append(t, strings.ReplaceAll(part, "!", `\u0021`)) // an interactive shell's history
		} else {
			t = append(t, variable(part))
		}
	}
	return t
}

// powerShell returns the request as a command of PowerShell.
func (r request) powerShell() string {
	out := "Invoke-MgGraphRequest"
	if r.service.token != "" {
		out = "Invoke-RestMethod"
	}
	out += " -Method " + r.method + " -Uri " + powerShellURL(r.joinedURL())
	if r.service.token != "" {
		out += " -Authentication Bearer -Token $" + r.service.token
	}
	if len(r.headers) > 0 {
		var all []string
		for _, h := range r.headers {
			all = append(all, quote.PowerShell(h.name)+" = "+quote.PowerShell(h.value.(string)))
		}
		out += " -Headers @{ " + strings.Join(all, "; ") + " }"
	}
	switch {
	case r.body == nil:
	case len(variablesOf(r.body)) == 0:
		out += " -ContentType application/json -Body " + quote.PowerShell(jsonOf(r.body, nil))
	default:
		out += " -ContentType application/json -Body (" + powerShellValue(r.body) + " | ConvertTo-Json -Depth 5)"
	}
	return out
}

// powerShellURL leaves an address without special characters as it is.
func powerShellURL(t text) string {
	if len(t.variables()) == 0 && !strings.ContainsAny(t.with(nil), "'(){}$;,&|\"` ") {
		return t.with(nil)
	}
	return t.powerShell()
}

// powerShellValue returns a value as an expression of PowerShell.
func powerShellValue(v any) string {
	var parts []string
	switch v := v.(type) {
	case bool:
		return "$" + fmt.Sprint(v)
	case raw:
		return "$" + string(v)
	case string:
		return quote.PowerShell(v)
	case text:
		return v.joined().powerShell()
	case list:
		for _, item := range v {
			parts = append(parts, powerShellValue(item))
		}
		return "@(" + strings.Join(parts, ", ") + ")"
	case object:
		for _, f := range v {
			name := f.name
			if strings.ContainsAny(name, "@.") {
				name = quote.PowerShell(name)
			}
			parts = append(parts, name+" = "+powerShellValue(f.value))
		}
		return "@{ " + strings.Join(parts, "; ") + " }"
	}
	panic(fmt.Sprintf("no value: %T", v))
}

// An azCommand is a command of the Azure CLI: the words after az. On Windows az is a
// batch file, for which no quoting is safe, so it gets no caller's text in PowerShell.
type azCommand []text

func (c azCommand) variables() (all []variable) {
	for _, word := range c {
		all = append(all, word.variables()...)
	}
	return all
}

func (c azCommand) bound(values map[variable]string) command {
	out := make(azCommand, len(c))
	for i, word := range c {
		out[i] = word.bound(values)
	}
	return out
}

func (c azCommand) bash() string { return strings.Join(c.bashWords(), " ") }

func (c azCommand) bashWords() []string {
	return c.words(text.bash)
}

// words are the words of the command, an option and its value in one. A value that
// begins with a hyphen would be taken for an option of its own.
func (c azCommand) words(quoted func(text) string) []string {
	out := []string{"az"}
	for i, word := range c {
		literal, _ := word[0].(string)
		last := len(out) - 1
		switch {
		case i%2 == c.options()%2 && i >= c.options():
			out = append(out, literal)
		case strings.HasPrefix(literal, "-"):
			out[last] += "=" + quoted(word.joined())
		default:
			out[last] += " " + quoted(word.joined())
		}
	}
	return out
}

// options is the index of the first option; from there on names and values alternate.
func (c azCommand) options() int {
	return slices.IndexFunc(c, func(t text) bool {
		literal, _ := t[0].(string)
		return strings.HasPrefix(literal, "--")
	})
}

func (c azCommand) powerShell() string {
	return strings.Join(c.words(text.powerShell), " ")
}

// A command is what a person can run.
type command interface {
	bash() string
	bashWords() []string
	powerShell() string
	variables() []variable
	bound(map[variable]string) command
}
