package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"
)

// Claims are the claims of an assertion, by name.
type Claims map[string]Claim

// Claim is the value of a claim.
type Claim struct {
	// Comparable: the value is a string, a number or a boolean. Others never match.
	Comparable bool
	// Text is the string, or the number or boolean as it is written in the assertion.
	// For a value that is not comparable, it is the kind of value, as in "a list".
	Text string
}

// ParseClaims reads the claims from the payload of an assertion, a JSON object
// (RFC 7519, section 4). A name that occurs twice is an error: Entra ID might take the
// other value.
func ParseClaims(payload []byte) (Claims, error) {
	if !utf8.Valid(payload) {
		return nil, errors.New("the claims are not UTF-8")
	}
	d := json.NewDecoder(bytes.NewReader(payload))
	if start, err := d.Token(); err != nil || start != json.Delim('{') {
		return nil, errors.New("the claims are not a JSON object")
	}
	claims := Claims{}
	for d.More() {
		key, err := d.Token()
		name, ok := key.(string)
		if err != nil || !ok {
			return nil, errors.New("the claims are not JSON")
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return nil, errors.New("the claims are not JSON")
		}
		if _, twice := claims[name]; twice {
			return nil, fmt.Errorf("the claim %s occurs twice", show(name))
		}
		claims[name] = parseClaim(value)
	}
	if _, err := d.Token(); err != nil { // the closing brace
		return nil, errors.New("the claims are not JSON")
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("the claims are followed by other text")
	}
	return claims, nil
}

// parseClaim reads one value, which is valid JSON.
func parseClaim(value json.RawMessage) Claim {
	switch value[0] {
	case '[':
		return Claim{Text: "a list"}
	case '{':
		return Claim{Text: "an object"}
	case 'n':
		return Claim{Text: "null"}
	case '"':
		var text string
		// A half of a surrogate pair becomes U+FFFD, so different values would be equal.
		if err := json.Unmarshal(value, &text); err != nil || bytes.ContainsRune([]byte(text), utf8.RuneError) {
			return Claim{Text: "a string that is not Unicode"}
		}
		return Claim{Comparable: true, Text: text}
	}
	return Claim{Comparable: true, Text: string(value)} // a number or a boolean
}
