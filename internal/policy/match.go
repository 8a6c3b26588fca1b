package policy

import "unicode/utf8"

// matches reports whether text is what the pattern describes: "*" stands for any
// characters, none and "/" included, "?" for one character (a Unicode code point, not a
// byte), and every other character for itself. Both must be UTF-8.
//
// If the rest does not match after a "*", that "*" takes one character more. Going back
// to an earlier one cannot help: the last one could take what the earlier would. So the
// time is at most proportional to the product of both lengths.
func matches(pattern, text string) bool {
	p, t := 0, 0
	star, taken := -1, 0 // where the pattern goes on after the last "*", and where its text ends
	for t < len(text) {
		if p < len(pattern) && pattern[p] == '*' {
			p++
			star, taken = p, t
			continue
		}
		if p < len(pattern) {
			want, n := utf8.DecodeRuneInString(pattern[p:])
			got, m := utf8.DecodeRuneInString(text[t:])
			if want == '?' || want == got {
				p, t = p+n, t+m
				continue
			}
		}
		if star < 0 {
			return false
		}
		_, m := utf8.DecodeRuneInString(text[taken:])
		taken += m
		p, t = star, taken
	}
	for p < len(pattern) && pattern[p] == '*' {
		p++
	}
	return p == len(pattern)
}
