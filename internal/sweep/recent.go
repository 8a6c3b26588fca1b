package sweep

// recent remembers what it was told last, up to a number of keys. What is older
// is forgotten.
type recent[V any] struct {
	values map[string]V
	order  []string // a ring
	next   int
}

// remember is how many keys a sweep remembers. Memory is bounded by it, not by
// how many PATs there are.
const remember = 16 << 10

func (r *recent[V]) get(key string) (V, bool) {
	v, ok := r.values[key]
	return v, ok
}

func (r *recent[V]) put(key string, v V) {
	if r.values == nil {
		r.values = map[string]V{}
	}
	if _, again := r.values[key]; !again {
		if len(r.order) < remember {
			r.order = append(r.order, key)
		} else {
			delete(r.values, r.order[r.next])
			r.order[r.next] = key
			r.next = (r.next + 1) % remember
		}
	}
	r.values[key] = v
}
