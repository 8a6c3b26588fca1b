// Package nearest finds the name that is most similar to a misspelt one.
package nearest

import "strings"

// Distance returns the number of bytes that must be changed, added or removed to turn a
// into b (Levenshtein distance).
func Distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			substitute := diagonal
			if a[i] != b[j] {
				substitute++
			}
			diagonal = row[j+1]
			row[j+1] = min(row[j+1]+1, row[j]+1, substitute)
		}
	}
	return row[len(b)]
}

// maxLength is the longest name that is compared. A longer one resembles none.
const maxLength = 64

// Name returns the name in names that is nearest to a misspelt one, and whether it is
// near enough to be what was meant. An abbreviation, such as org, is near.
func Name(misspelt string, names []string) (name string, near bool) {
	plain := strings.NewReplacer("-", "", "_", "").Replace
	given := plain(strings.ToLower(misspelt))
	if len(given) > maxLength {
		return "", false
	}
	best := -1
	for _, candidate := range names {
		to := plain(strings.ToLower(candidate))
		d := Distance(given, to)
		if len(given) > 1 && (strings.HasPrefix(to, given) || strings.HasPrefix(given, to)) {
			d = min(d, 2)
		}
		if best < 0 || d < best {
			name, best = candidate, d
		}
	}
	return name, best >= 0 && best <= max(2, len(given)/3)
}
