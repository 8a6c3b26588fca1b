package sweep

// recent remembers the values that were put last, up to a number of keys.
type recent[V any] struct {
	values map[string]V
	order  []string // a ring
	next   int
}

// maxRecent is how many keys a sweep remembers, so that its memory does not grow
// with the number of PATs.
const maxRecent = 16 << 10

func (r *recent[V]) get(key string) (V, bool) {
	v, ok := r.values[key]
	return v, ok
}

func (r *recent[V]) put(key string, v V) {
	if r.values == nil {
		r.values = map[string]V{}
	}
	if _, again := r.values[key]; !again {
		if len(r.order) < maxRecent {
			r.order = append(r.order, key)
		} else {
			delete(r.values, r.order[r.next])
			r.order[r.next] = key
			r.next = (r.next + 1) % maxRecent
		}
	}
	r.values[key] = v
}
