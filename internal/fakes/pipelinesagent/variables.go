package pipelinesagent

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

type variable struct {
	name, value                    string
	secret, readOnly, preserveCase bool
	order                          int // of being set first
}

// variables are those of a job, by name in lower case.
type variables map[string]variable

// set keeps a variable. One that was secret or read-only stays so. Macros in it
// are replaced when the next step begins.
func (j *Job) set(v variable) {
	before := j.expanded[strings.ToLower(v.name)]
	v.secret = v.secret || before.secret
	v.readOnly = v.readOnly || before.readOnly
	if v.secret {
		j.masker.Add(v.value)
	}
	j.store(v)
}

func (j *Job) store(v variable) {
	key := strings.ToLower(v.name)
	v.order = len(j.defined)
	if before, known := j.defined[key]; known {
		v.order = before.order
	}
	j.defined[key], j.expanded[key] = v, v
}

// maxDepth is how deep macros may nest.
const maxDepth = 50

// expandVariables replaces the macros in all variables, those in what they stand
// for too. A variable that refers to itself stays as it is, with a warning. What
// holds a secret is one.
func (j *Job) expandVariables() {
	j.expanded, j.warnings = maps.Clone(j.defined), nil
	for _, key := range slices.Sorted(maps.Keys(j.defined)) {
		v := j.defined[key]
		value, secret, err := j.defined.expand(v, nil)
		if err != nil {
			j.warnings = append(j.warnings, fmt.Sprintf("the variable %s: %v", v.name, err))
			continue
		}
		if value == v.value {
			continue
		}
		v.value, v.secret = value, secret
		if secret {
			j.masker.Add(value)
		}
		j.expanded[key] = v
	}
}

// expand is the value of a variable whose name is in others, outermost first.
func (all variables) expand(v variable, others []string) (value string, secret bool, err error) {
	others = append(slices.Clip(others), strings.ToLower(v.name))
	value, secret = v.value, v.secret
	for start := 0; ; {
		from, to, found := macro(value, start)
		if !found {
			return value, secret, nil
		}
		key := strings.ToLower(value[from+len("$(") : to-len(")")])
		nested, known := all[key]
		switch {
		case !known:
			start = from + 1
			continue
		case len(others) == maxDepth:
			return "", false, fmt.Errorf("macros nest deeper than %d", maxDepth)
		case slices.Contains(others, key):
			return "", false, errors.New("it refers to itself")
		}
		inner, innerSecret, err := all.expand(nested, others)
		if err != nil {
			return "", false, err
		}
		value, secret = value[:from]+inner+value[to:], secret || innerSecret
		start = from + len(inner)
	}
}

// macro finds the next $(NAME), from and to included in value[from:to].
func macro(value string, start int) (from, to int, found bool) {
	from = strings.Index(value[start:], "$(")
	if from < 0 {
		return 0, 0, false
	}
	from += start
	to = strings.Index(value[from:], ")")
	if to < 0 {
		return 0, 0, false
	}
	return from, from + to + 1, true
}

// Variable is the value of a variable and whether it is secret. An output
// variable is called STEP.NAME.
func (j *Job) Variable(name string) (value string, secret, ok bool) {
	v, ok := j.expanded[strings.ToLower(name)]
	return v.value, v.secret, ok
}

// Expand replaces $(NAME) where a variable has that name, once, and leaves it as
// it is elsewhere.
func (j *Job) Expand(text string) string {
	for start := 0; ; {
		from, to, found := macro(text, start)
		if !found {
			return text
		}
		if v, ok := j.expanded[strings.ToLower(text[from+len("$("):to-len(")")])]; ok {
			text = text[:from] + v.value + text[to:]
			start = from + len(v.value)
		} else {
			start = from + 1
		}
	}
}

// Environment returns the variables that a script step sees: those that are not
// secret, and those that it maps. A variable wins over a mapping with the same
// name (Handler.AddVariablesToEnvironment, microsoft/azure-pipelines-agent#3091).
// The agent adds them in no order: where two have the same name in the environment,
// the one that was set later is taken here.
func (j *Job) Environment(mapped map[string]string) map[string]string {
	env := map[string]string{}
	for name, value := range mapped {
		env[name] = j.Expand(strings.TrimSpace(value))
	}
	for _, v := range slices.SortedFunc(maps.Values(j.expanded), func(a, b variable) int { return cmp.Compare(a.order, b.order) }) {
		if !v.secret {
			env[environmentName(v.name, v.preserveCase)] = v.value
		}
	}
	return env
}

func environmentName(name string, preserveCase bool) string {
	name = strings.NewReplacer(".", "_", " ", "_").Replace(name)
	if preserveCase {
		return name
	}
	return strings.ToUpper(name)
}

// Outputs are the output variables of a step, by name.
func (j *Job) Outputs(step string) map[string]string {
	outputs := map[string]string{}
	for _, v := range j.expanded {
		if name, ok := strings.CutPrefix(v.name, step+"."); ok {
			outputs[name] = v.value
		}
	}
	return outputs
}
