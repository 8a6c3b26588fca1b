package settings

import (
	"cmp"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"azdo-pat/internal/secret"
	"azdo-pat/internal/toolconfig"
)

// Description is what the tags of a field of [Settings] say about the setting.
type Description struct {
	Name string
	// Group is the heading under which help shows it.
	Group string
	// Meaning is one line without a full stop.
	Meaning string
	// For lists the commands that have a flag of that name.
	For []Command
	// Required lists the commands that cannot do without it.
	Required []Command
	// Values are those that it can have, where they can be listed.
	Values []string
	// AlsoRead lists the variables of other tools that it is read from too.
	AlsoRead []string
	Secret   bool // it holds a credential, so it has no flag
	Input    bool // it is an input of the action
	// Bool settings may be given as a flag without a value, Repeatable ones several
	// times.
	Bool, Repeatable bool
	// Saved settings are part of what mint leaves for its post step. InputWins says
	// that an input is preferred there: it decides where credentials are sent, and
	// another step could have planted the saved value.
	Saved, InputWins bool

	key      string // the name as envconfig knows it
	kind     string
	checks   map[Command]check // "" is for the commands that are not in it
	identity Identity
	defaults map[Command]string // "" is for the commands that are not in it
	meanings map[Command]string // of commands for which Meaning is not right
	field    int                // in Settings
}

// Descriptions describes the settings in the order in which help shows them.
var Descriptions = describe()

// Commands lists the commands that have flags.
func Commands() []Command { return slices.Clone(commands) }

var commands = []Command{Mint, Revoke, Exec, Rotate, Sweep, Check, List, Setup, Login}

// describe reads the tags of [Settings].
func describe() (all []*Description) {
	t := reflect.TypeFor[Settings]()
	tools := strings.Join(toolconfig.Names(), " ")
	group := ""
	for i := range t.NumField() {
		f := t.Field(i)
		tags := tagsOf(f.Tag)
		group = cmp.Or(tags["group"], group)
		key, ok := tags["env"]
		if !ok {
			continue
		}
		d := &Description{
			Name: strings.ToLower(strings.ReplaceAll(key, "_", "-")), Group: group,
			Meaning: strings.ReplaceAll(tags["help"], "TOOLS", tools),
			For:     listed(tags["for"]), Required: listed(tags["required"]),
			Values: strings.Fields(tags["values"]), AlsoRead: strings.Fields(tags["also"]),
			Secret: f.Type == reflect.TypeFor[secret.Value](), Bool: f.Type.Kind() == reflect.Bool,
			Input: tags["input"] != "no", Repeatable: tags["flag"] == "repeatable",
			Saved: tags["saved"] != "", InputWins: tags["saved"] == "unless-input",
			key: key, kind: tags["kind"], identity: Identity(tags["identity"]),
			defaults: map[Command]string{"": tags["default"]}, checks: map[Command]check{}, meanings: map[Command]string{}, field: i,
		}
		d.checks[""] = d.checkOf()
		for key, value := range tags {
			switch what, command, _ := strings.Cut(key, "-"); {
			case command == "":
			case what == "default":
				d.defaults[Command(command)] = value
			case what == "kind":
				d.checks[Command(command)] = checks[value]
			case what == "help":
				d.meanings[Command(command)] = value
			}
		}
		all = append(all, d)
	}
	return all
}

// tagsOf parses the tags of a field once: [reflect.StructTag.Lookup] would parse them again
// for each name.
func tagsOf(tag reflect.StructTag) map[string]string {
	tags := map[string]string{}
	for rest := string(tag); rest != ""; {
		var name string
		name, rest, _ = strings.Cut(rest, ":")
		quoted, err := strconv.QuotedPrefix(rest)
		if err != nil {
			break // go vet reports it
		}
		tags[name], _ = strconv.Unquote(quoted)
		rest = strings.TrimLeft(rest[len(quoted):], " ")
	}
	return tags
}

// listed returns the commands that a tag names, in the order of the help.
func listed(tag string) (all []Command) {
	names := strings.Fields(tag)
	for _, c := range commands {
		if slices.Contains(names, string(c)) || slices.Contains(names, "all") && c.signsIn() {
			all = append(all, c)
		}
	}
	return all
}

// general reports whether every command that signs in has the setting.
func (d *Description) general() bool {
	return !slices.ContainsFunc(commands, func(c Command) bool { return c.signsIn() && !slices.Contains(d.For, c) })
}

// signsIn reports whether a command acts as one of the identities.
func (c Command) signsIn() bool { return c != Setup && c != Login }

// checkOf is the validation of a setting's kind; nil: any text is right.
func (d *Description) checkOf() check {
	switch {
	case d.Bool:
		return checkBool
	case len(d.Values) > 0:
		return oneOf(d.Values...)
	}
	return checks[d.kind]
}

// defaultText is what the help says about the defaults.
func (d *Description) defaultText() string {
	if d.defaults[""] == "" {
		return d.requiredText()
	}
	text := "default " + d.defaults[""]
	for _, c := range commands {
		if v, ok := d.defaults[c]; ok {
			text += "; " + string(c) + ": " + v
		}
	}
	return " (" + text + ")"
}

// requiredText says which commands need the setting.
func (d *Description) requiredText() string {
	switch len(d.Required) {
	case 0:
		return ""
	case len(commands):
		return " (required)"
	}
	var all []string
	for _, c := range d.Required {
		all = append(all, string(c))
	}
	return " (required by " + strings.Join(all, ", ") + ")"
}

// Describe returns the description of a setting, or nil if there is none.
func Describe(name string) *Description {
	for _, d := range Descriptions {
		if d.Name == name {
			return d
		}
	}
	return nil
}

// TextFor is the help for a command, one line without a full stop.
func (d *Description) TextFor(c Command) string {
	meaning, ok := d.meanings[c]
	if !ok {
		meaning = d.Meaning
	}
	switch {
	case d.defaults[""] != "":
		return meaning + d.defaultText()
	case slices.Contains(d.Required, c):
		return meaning + " (required)"
	}
	return meaning
}

// Meanings is [Description.Meaning] with what the setting means for single commands.
func (d *Description) Meanings() string {
	text := d.Meaning
	for _, c := range commands {
		if meaning, ok := d.meanings[c]; ok {
			text += "; " + string(c) + ": " + meaning
		}
	}
	return text
}

// Everywhere is the help for all commands together.
func (d *Description) Everywhere() string { return d.Meanings() + d.defaultText() }

// Default is the default for a command; empty: there is none.
func (d *Description) Default(c Command) string {
	if v, ok := d.defaults[c]; ok {
		return v
	}
	return d.defaults[""]
}

// HasFlag reports whether a command has a flag of the setting's name.
func (d *Description) HasFlag(c Command) bool { return !d.Secret && slices.Contains(d.For, c) }

// checkFor is the validation for a command; nil: any text is right.
func (d *Description) checkFor(c Command) check {
	if of, ok := d.checks[c]; ok {
		return of
	}
	return d.checks[""]
}

// OfIdentity reports whether the setting belongs to one identity alone.
func (d *Description) OfIdentity() bool { return d.identity != "" }

// Variables are those that it is read from, the first wins.
func (d *Description) Variables() []string {
	return append([]string{d.ownVariable()}, d.AlsoRead...)
}

func (d *Description) ownVariable() string   { return variablePrefix + d.key }
func (d *Description) inputVariable() string { return "INPUT_" + strings.ToUpper(d.Name) }

// readBy reports whether a command looks at the setting. What is saved is
// validated by all that sign in; the post step reads what revoke does, if a workflow
// can set it.
func (d *Description) readBy(c Command) bool {
	if c == Post {
		return d.Saved || d.Input && slices.Contains(d.For, Revoke)
	}
	return d.Saved && c.signsIn() || c == Login && d.refusedByLogin() || slices.Contains(d.For, c)
}
