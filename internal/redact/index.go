package redact

import "strings"

const (
	// window is how many characters in a row of a form are replaced.
	window = 24
	// keyLen is the length of a key. No credential is shorter.
	keyLen = 4
	// keyBits is the number of bits for keys. The tokens of a usual run have about
	// 100,000 keys, which set one bit in ten.
	keyBits = 1 << 20
)

// index finds forms in a text; of forms longer than a window, each window of them.
//
// A key is four bytes in a row. Each match in a text contains the key that begins at
// some multiple of step, so only these keys are looked up, and most of them are in no
// form. This makes it cheap to search a stream and to add a form.
type index struct {
	forms []string
	keys  []uint64 // a bit for the hash of each key
	step  int      // the largest with which no match of any form is missed
}

// add adds a form to find.
func (x *index) add(form string) {
	if len(form) < keyLen {
		return
	}
	if x.forms == nil {
		x.keys = make([]uint64, keyBits/64)
		x.step = window - keyLen + 1
	}
	x.forms = append(x.forms, form)
	x.step = min(x.step, len(form)-keyLen+1)
	for i := range len(form) - keyLen + 1 {
		h := hash(form[i : i+keyLen])
		x.keys[h/64] |= 1 << (h % 64)
	}
}

// find appends the matches in text, which may overlap.
func (x *index) find(found []span, text []byte) []span {
	if x.forms == nil {
		return found
	}
	for i := 0; i+keyLen <= len(text); i += x.step {
		h := hash(text[i : i+keyLen])
		if x.keys[h/64]&(1<<(h%64)) == 0 {
			continue
		}
		key := string(text[i : i+keyLen])
		for _, form := range x.forms {
			if !strings.Contains(form, key) {
				continue
			}
			n := min(window, len(form))
			for from := max(0, i+keyLen-n); from <= min(i, len(text)-n); from++ {
				if strings.Contains(form, string(text[from:from+n])) {
					found = append(found, span{from, from + n})
				}
			}
		}
	}
	return found
}

// hash is a multiplicative hash of a key.
func hash[T string | []byte](key T) uint32 {
	bits := uint32(key[0]) | uint32(key[1])<<8 | uint32(key[2])<<16 | uint32(key[3])<<24
	return bits * 0x9E3779B1 >> 12
}
