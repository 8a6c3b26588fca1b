// Package dotnet treats text as .NET does, for the packages that play GitHub's
// runner and Azure Pipelines' agent. Strings are UTF-16 there, and some searches
// follow the culture: they skip characters that are not visible.
package dotnet

import (
	"encoding/binary"
	"strings"
	"unicode"
	"unicode/utf16"
)

// Units is text in UTF-16.
func Units(text string) []uint16 { return utf16.Encode([]rune(text)) }

// String is the reverse of [Units]. Half of a surrogate pair becomes U+FFFD.
func String(units []uint16) string { return string(utf16.Decode(units)) }

// Len is the length of text in UTF-16 units.
func Len(text string) int { return len(Units(text)) }

// Decode reads the bytes of a file or a stream: as UTF-8, unless they begin with
// the byte order mark of another encoding. The mark is no part of the text.
func Decode(data string) string {
	var order binary.ByteOrder
	size := 2
	switch {
	case strings.HasPrefix(data, "\xef\xbb\xbf"):
		data = data[3:]
	case strings.HasPrefix(data, "\xff\xfe\x00\x00"):
		order, size = binary.LittleEndian, 4
	case strings.HasPrefix(data, "\x00\x00\xfe\xff"):
		order, size = binary.BigEndian, 4
	case strings.HasPrefix(data, "\xff\xfe"):
		order = binary.LittleEndian
	case strings.HasPrefix(data, "\xfe\xff"):
		order = binary.BigEndian
	}
	if order == nil {
		return string([]rune(data)) // invalid bytes become U+FFFD
	}
	var units []uint16
	var runes []rune
	for b := []byte(data[size:]); len(b) > 0; b = b[size:] {
		if len(b) < size {
			units, runes = append(units, unicode.ReplacementChar), append(runes, unicode.ReplacementChar)
			break
		}
		if size == 2 {
			units = append(units, order.Uint16(b))
		} else {
			runes = append(runes, rune(order.Uint32(b)))
		}
	}
	if size == 2 {
		return String(units)
	}
	return string(runes)
}

// HasPrefix is String.StartsWith(prefix).
func HasPrefix(text []uint16, prefix string) bool {
	for _, want := range Units(prefix) {
		for len(text) > 0 && text[0] != want && ignorable(text) > 0 {
			text = text[ignorable(text):]
		}
		if len(text) == 0 || text[0] != want {
			return false
		}
		text = text[1:]
	}
	return true
}

// Index is String.IndexOf(what, from).
func Index(text []uint16, what string, from int) int {
	first := Units(what)[0]
	for i := from; i < len(text); i++ {
		if text[i] == first && HasPrefix(text[i:], what) {
			return i
		}
	}
	return -1
}

// ignorable is the length of the character at the start of text if a comparison
// by culture skips it, or else 0.
func ignorable(text []uint16) int {
	r, size := rune(text[0]), 1
	if len(text) > 1 && utf16.IsSurrogate(r) {
		if pair := utf16.DecodeRune(r, rune(text[1])); pair != unicode.ReplacementChar {
			r, size = pair, 2
		}
	}
	if unicode.In(r, unicode.Cf, unicode.Other_Default_Ignorable_Code_Point, unicode.Variation_Selector) ||
		unicode.IsControl(r) && !unicode.IsSpace(r) {
		return size
	}
	return 0
}

// TrimStart is String.TrimStart().
func TrimStart(text []uint16) []uint16 {
	for len(text) > 0 && unicode.IsSpace(rune(text[0])) {
		text = text[1:]
	}
	return text
}

// Properties takes "name=value" properties apart, which a separator divides. Names
// are in lower case, since the originals do not tell cases apart. Empty parts are
// dropped: "k==v" and "=k=v" both set k to v, and "k=" sets nothing.
func Properties(text, separator string, unescape func(string) string) map[string]string {
	properties := map[string]string{}
	for property := range strings.SplitSeq(text, separator) {
		name, value, _ := strings.Cut(strings.TrimLeft(property, "="), "=")
		value = strings.TrimLeft(value, "=")
		if name != "" && value != "" {
			properties[strings.ToLower(name)] = unescape(value)
		}
	}
	return properties
}

// Lines divides the output of a process: a line feed, a carriage return or both
// end a line.
func Lines(output string) []string {
	output = strings.NewReplacer("\r\n", "\n", "\r", "\n").Replace(Decode(output))
	if output == "" {
		return nil
	}
	return strings.Split(strings.TrimSuffix(output, "\n"), "\n")
}
