package policy

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"

	"azdo-pat/internal/sanitize"
)

// Explain says in one line what was decided and by which rule.
func (d *Decision) Explain() string {
	if d.Allowed {
		return fmt.Sprintf("allowed by %s", d.Rule)
	}
	if d.rules == 1 {
		return fmt.Sprintf("%s, the only one, does not allow all of it", d.Rule)
	}
	return fmt.Sprintf("none of the %d rules allows all of it; the nearest is %s", d.rules, d.Rule)
}

// header are the columns of [Decision.Table].
var header = [4]string{"", "asked or found", "allowed", ""}

// Rows are the criteria of the rule, for a table: name, what was found, what is allowed,
// and whether that is met.
func (d *Decision) Rows() (rows [][4]string) {
	for _, c := range d.Criteria {
		verdict := "yes"
		if !c.Met {
			verdict = "NO"
		}
		rows = append(rows, [4]string{c.Name, c.Found, c.Allowed, verdict})
	}
	return rows
}

// Table is the criteria of the rule as lines of text.
func (d *Decision) Table() string {
	rows := append([][4]string{header}, d.Rows()...)
	var widths [4]int
	for _, row := range rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var lines []string
	for _, row := range rows {
		var b strings.Builder
		for i, cell := range row {
			b.WriteString("  " + cell + strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)))
		}
		lines = append(lines, strings.TrimRight(b.String(), " "))
	}
	return strings.Join(lines, "\n")
}

// longestShown limits a text that is repeated. A longer one is left out as a whole: of
// half a credential no mask would be found.
const longestShown = 300

// show is a text as one line. Characters outside of ASCII are escaped, since they can
// look like others, and that may be why a claim does not match.
func show(text string) string {
	if n := utf8.RuneCountInString(text); n > longestShown {
		return fmt.Sprintf("(%d characters, not shown)", n)
	}
	quoted := strconv.QuoteToASCII(text)
	if text != "" && quoted == `"`+text+`"` && !sanitize.NeedsEscape(text) {
		return text
	}
	return strings.ReplaceAll(quoted, "##", `#\u0023`)
}

// maxListed is the largest number of alternatives that are shown.
const maxListed = 5

func listed(all []string) string {
	var shown []string
	for _, one := range all[:min(maxListed, len(all))] {
		shown = append(shown, show(one))
	}
	text := strings.Join(shown, " or ")
	if more := len(all) - len(shown); more > 0 {
		text += fmt.Sprintf(" or %d more", more)
	}
	return text
}
