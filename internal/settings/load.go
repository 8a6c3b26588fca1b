package settings

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/sethvargo/go-envconfig"

	"azdo-pat/internal/secret"
)

// Source is where settings come from.
type Source struct {
	// Flags holds the values of the flags that were given, by name.
	Flags map[string]string
	// LookupEnv reads the environment, as [os.LookupEnv] does.
	LookupEnv func(string) (string, bool)
	// Environ lists the environment, as [os.Environ] does, to find misspelt names.
	// Nil: they are not looked for.
	Environ func() []string
	// Action: the caller wrote a GitHub workflow, so a missing setting is named as an
	// input.
	Action bool
	// Saved is what mint saved for the post step; nil: nothing. With it, every setting
	// that is not a secret comes from Saved alone, because in the post step of a nested
	// composite action the inputs can be another step's; only hosts that are given as
	// inputs still win. Secrets are read only for the identity that minted.
	Saved *Saved
	// CI is what the CI system offers; nil: no CI system gives an assertion, so a token
	// file is needed.
	CI *CI
	// Lease: the lease of this job can be found without its id.
	Lease bool
	// LaterSteps: the job has later steps whose environment mint can change.
	LaterSteps bool
	// RevokeStep: a step of the job runs revoke, since there is no post step.
	RevokeStep bool
	// NoOutput is why login cannot write the refresh token to standard output. Empty: it
	// can.
	NoOutput string
}

// CI is what a CI system offers for an assertion.
type CI struct {
	// Offered: the job has the variables for requesting an assertion, valid or not.
	Offered bool
	// Unavailable is why it cannot be asked for an assertion, with a hint what to
	// change; nil: it can.
	Unavailable error
	// ServiceConnection: assertions are issued only for a service connection, which
	// must be set.
	ServiceConnection bool
}

// Load reads the settings of command and validates those that it reads. What is
// wrong comes back as [*Problems], with the settings that could be read.
func Load(command Command, src Source) (*Settings, error) {
	l := &loader{src: src, command: command, origins: map[string]string{}, found: map[string]string{}}
	s := &Settings{Origins: l.origins}
	if err := envconfig.ProcessWith(context.Background(), &envconfig.Config{Target: s, Lookuper: l.lookuper()}); err != nil {
		return nil, err // a mistake in the tags
	}
	l.validate(s)
	if len(l.problems) > 0 {
		return s, l.all()
	}
	return s, nil
}

// Problems is everything that is wrong with the settings.
type Problems struct{ List []string }

// Error implements error: a line a problem.
func (p *Problems) Error() string {
	if len(p.List) == 1 {
		return p.List[0]
	}
	all := strings.ReplaceAll(strings.Join(p.List, "\n"), "\n", "\n  ")
	return fmt.Sprintf("%d settings are wrong:\n  %s", len(p.List), all)
}

// Wrong adds a problem that was found after [Load], with the value of a setting.
func (src Source) Wrong(s *Settings, err error, name, found, allowed string) error {
	return src.with(s, err, func(l *loader) { l.wrong(name, found, allowed) })
}

// Problem adds a problem that was found after [Load].
func (src Source) Problem(s *Settings, err error, name, text string) error {
	return src.with(s, err, func(l *loader) { l.problem(name, l.as(name)+": "+text) })
}

// with adds what add finds to the problems that err lists.
func (src Source) with(s *Settings, err error, add func(*loader)) error {
	all := &Problems{}
	if p := (*Problems)(nil); errors.As(err, &p) {
		all.List = slices.Clone(p.List)
	} else if err != nil {
		return err
	}
	l := &loader{src: src, origins: s.Origins}
	add(l)
	all.List = append(all.List, l.problems[0].text)
	return all
}

// loader reads and validates the settings of one call.
type loader struct {
	src     Source
	command Command
	// origins has the name under which each setting was found, and found its text
	// there.
	origins  map[string]string
	found    map[string]string
	problems []problem
}

// problem is what is wrong with a setting, or with none in particular.
type problem struct{ name, text string }

// all lists the problems: those of settings that every command reads, those of the
// command's own settings, each in the order of the help, then those of no setting.
func (l *loader) all() *Problems {
	rank := func(p problem) int {
		i := slices.IndexFunc(Descriptions, func(d *Description) bool { return d.Name == p.name })
		switch {
		case i < 0:
			return 2 * len(Descriptions)
		case !Descriptions[i].general():
			return len(Descriptions) + i
		}
		return i
	}
	slices.SortStableFunc(l.problems, func(a, b problem) int { return cmp.Compare(rank(a), rank(b)) })
	list := &Problems{}
	for _, p := range l.problems {
		list.List = append(list.List, p.text)
	}
	return list
}

// lookuper finds the text of each setting that the command reads, validated.
func (l *loader) lookuper() envconfig.Lookuper {
	return envconfig.LookuperFunc(func(key string) (string, bool) {
		i := slices.IndexFunc(Descriptions, func(d *Description) bool { return d.key == key })
		if i < 0 {
			return "", false
		}
		d := Descriptions[i]
		value, ok := envconfig.MultiLookuper(append(l.places(d), defaultOf(d, l.command))...).Lookup(key)
		if !ok || !d.readBy(l.command) {
			return "", false
		}
		return l.checked(d, value)
	})
}

// places are where a setting is looked for; the first that has it wins.
func (l *loader) places(d *Description) []envconfig.Lookuper {
	input := l.at(d.Name, d, l.env(d.inputVariable()))
	if saved := l.src.Saved; saved != nil {
		switch {
		case d.Secret && d.identity != saved.Identity:
			return nil
		case d.Secret:
		case d.InputWins && strings.Contains(l.env(d.inputVariable()), "://"):
			// A host that is not a URL must be another step's input: mint would have refused it.
			return []envconfig.Lookuper{input}
		default:
			return []envconfig.Lookuper{l.at("saved "+d.Name, d, saved.Values[d.Name])}
		}
	}
	all := []envconfig.Lookuper{l.at("--"+d.Name, d, l.src.Flags[d.Name]), input}
	for _, name := range d.Variables() {
		all = append(all, l.at(name, d, l.env(name)))
	}
	return all
}

func (l *loader) env(name string) string {
	value, _ := l.src.LookupEnv(name)
	return value
}

// at is a place that has a value for a setting; it records the origin when it is used.
// White space around a value is a slip of the editor or of a multi-line YAML
// string; in a password it may be intended.
func (l *loader) at(origin string, d *Description, value string) envconfig.Lookuper {
	return envconfig.LookuperFunc(func(string) (string, bool) {
		trimmed := strings.TrimSpace(value)
		switch {
		case d.kind == "policy", d.kind == "policy-file" && trimmed == "":
			// White space alone is a policy that is wrong, not none. In YAML it has a meaning.
		case d.kind != "password" || trimmed == "":
			value = trimmed
		}
		if value != "" {
			l.origins[d.Name], l.found[d.Name] = origin, value
		}
		return value, value != ""
	})
}

func defaultOf(d *Description, c Command) envconfig.Lookuper {
	value := d.Default(c)
	return envconfig.LookuperFunc(func(string) (string, bool) { return value, value != "" })
}

// checked returns a value in the form that envconfig decodes. For a wrong value it
// returns nothing; for a wrong credential, the part that must be masked.
func (l *loader) checked(d *Description, text string) (string, bool) {
	validate := d.checkFor(l.command)
	if validate == nil {
		return text, true
	}
	value, err := validate(text)
	if err == nil {
		return value, true
	}
	if d.Secret {
		l.problem(d.Name, l.as(d.Name)+": "+err.Error())
		bare := secret.New(text).Bare()
		return bare.Reveal(), !bare.IsZero()
	}
	l.wrong(d.Name, text, err.Error())
	return "", false
}

func (l *loader) problem(name, text string) { l.problems = append(l.problems, problem{name, text}) }

// wrong adds the problem of an invalid value: what was found and what is allowed.
func (l *loader) wrong(name, found, allowed string) {
	l.problem(name, fmt.Sprintf("%s: found %s; allowed: %s", l.as(name), show(name, found), allowed))
}

// need adds the problem of a missing setting.
func (l *loader) need(name, why string) {
	also := ""
	if !l.src.Action && !IsSecret(name) {
		also = " (or " + Describe(name).ownVariable() + ")"
	}
	if IsSecret(name) {
		why += l.withheld()
	}
	l.problem(name, fmt.Sprintf("%s%s: not set; %s", l.missing(name), also, why))
}

// ignore removes the problems of a setting that is not used.
func (l *loader) ignore(name string) {
	l.problems = slices.DeleteFunc(l.problems, func(p problem) bool { return p.name == name })
}

// given reports whether a setting has a value, valid or not.
func (l *loader) given(name string) bool { return l.origins[name] != "" }

// as names a setting as the caller wrote it, or would write it.
func (l *loader) as(name string) string { return cmp.Or(l.origins[name], l.missing(name)) }

// missing names a setting that was not given.
func (l *loader) missing(name string) string {
	switch {
	case l.src.Action:
		return name
	case IsSecret(name):
		return Describe(name).ownVariable()
	}
	return "--" + name
}
