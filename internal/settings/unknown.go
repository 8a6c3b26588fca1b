package settings

import (
	"slices"
	"strings"

	"azdo-pat/internal/nearest"
)

// variablePrefix begins the names of the variables that are for this program.
const variablePrefix = "AZDO_PAT_"

// unknown warns of variables that name no setting: a misspelt one would be ignored
// in silence.
func (l *loader) unknown(s *Settings) {
	if l.src.Environ == nil || l.command == Post { // mint has reported it
		return
	}
	var known []string
	for _, d := range Descriptions {
		known = append(known, d.key)
	}
	var warnings []string
	for _, entry := range l.src.Environ() {
		variable, _, _ := strings.Cut(entry, "=")
		name, ours := strings.CutPrefix(variable, variablePrefix)
		if value, _ := l.src.LookupEnv(variable); !ours || strings.TrimSpace(value) == "" || slices.Contains(known, name) {
			continue
		}
		shown := "a variable that starts with " + variablePrefix
		if upperName.matches(name) {
			shown = variable
		}
		text := shown + " names no setting, so it is not read"
		if near, ok := nearest.Name(name, known); name == "COMMAND" {
			text += "; command is an input of the action only"
		} else if ok {
			text += "; the nearest name is " + variablePrefix + near
		}
		warnings = append(warnings, text)
	}
	slices.Sort(warnings) // the environment has no order
	s.Warnings = append(s.Warnings, slices.Compact(warnings)...)
}
