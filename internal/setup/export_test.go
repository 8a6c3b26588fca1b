package setup

import (
	"encoding/json"
	"fmt"
	"strings"
)

// A Call is a request of a script, with its variables filled in.
type Call struct {
	Service string // graph, azdoToken or armToken
	Method  string
	URL     string
	Headers map[string]string
	Body    []byte
}

// A Walk takes the steps of a script by itself: it sends the requests of the table that
// the PowerShell scripts are written from, and looks at the answers as they do.
type Walk struct {
	Send     func(Call) (status int, body []byte)
	Subjects []string // what the script finds out from GitHub
	Values   map[string]string
	// Done lists the steps that created or removed something.
	Done []string
}

// Permissions are those that the script asks for.
func Permissions(o Options) []string { return newPlan(&o).permissions() }

// Run takes the steps. Those of the Azure CLI alone are left out.
func (w *Walk) Run(o Options) error {
	p := newPlan(&o)
	w.Done = nil
	w.Values = map[string]string{"password": "Pa55-of-the-new-user", "assignment": "c0c0c0c0-0000-4000-8000-000000000001"}
	if !o.Undo {
		return w.setUp(p)
	}
	for i := range p.steps {
		if t := &p.steps[i]; !t.each && w.known(t.needs()) {
			if _, err := w.find(t); err != nil {
				return err
			}
		}
	}
	for i := len(p.steps) - 1; i >= 0; i-- {
		if err := w.each(&p.steps[i], w.undo); err != nil {
			return err
		}
	}
	return nil
}

func (w *Walk) setUp(p *plan) error {
	for i := range p.steps {
		if err := w.each(&p.steps[i], w.take); err != nil {
			return err
		}
	}
	return nil
}

// each takes a step once, or once for each subject.
func (w *Walk) each(t *step, take func(*step) error) error {
	if _, isAz := t.find.command.(azCommand); isAz {
		return nil
	}
	if !t.each {
		return take(t)
	}
	for _, s := range w.Subjects {
		w.Values["subject"], w.Values["credential"] = s, CredentialName(s)
		if err := take(t); err != nil {
			return err
		}
	}
	return nil
}

func (w *Walk) known(all []variable) bool {
	for _, v := range all {
		if w.Values[string(v)] == "" {
			return false
		}
	}
	return true
}

// take is ensure.
func (w *Walk) take(t *step) error {
	found, err := w.find(t)
	if err == nil && !found && t.create != nil {
		if err = w.do(t.name, t.create); err != nil {
			return err
		}
		w.Done = append(w.Done, t.name)
		if found, err = w.find(t); err == nil && !found {
			err = fmt.Errorf("%s: created, and not found", t.name)
		}
	}
	switch {
	case err != nil:
		return err
	case t.must != "" && w.Values[string(t.must)] != "yes", t.create == nil && !found:
		return fmt.Errorf("%s: %s", t.name, t.otherwise.with(nil))
	case t.widen == nil:
		return nil
	}
	words := strings.Fields(w.Values["scope"])
	for _, s := range strings.Fields(patScopes) {
		if !strings.Contains(" "+strings.Join(words, " ")+" ", " "+s+" ") {
			words = append(words, s)
		}
	}
	if wider := strings.Join(words, " "); wider != strings.TrimSpace(w.Values["scope"]) {
		w.Values["scope"] = wider
		w.Done = append(w.Done, "widen "+t.name)
		return w.do(t.name, t.widen)
	}
	return nil
}

// undo removes what was found.
func (w *Walk) undo(t *step) error {
	if t.remove == nil {
		return nil
	}
	if t.each {
		if w.Values["id"] == "" {
			return nil
		}
		if _, err := w.find(t); err != nil {
			return err
		}
	}
	if w.Values[string(t.find.take[0].variable)] == "" || t.removeIf != "" && w.Values[string(t.removeIf)] != "yes" {
		return nil
	}
	w.Done = append(w.Done, t.name)
	if t.widen != nil {
		var rest []string
		for _, s := range strings.Fields(w.Values["scope"]) {
			if !strings.Contains(" "+patScopes+" ", " "+s+" ") {
				rest = append(rest, s)
			}
		}
		if len(rest) > 0 {
			w.Values["scope"] = strings.Join(rest, " ")
			return w.do(t.name, t.widen)
		}
	}
	return w.do(t.name, t.remove)
}

// send sends a request.
func (w *Walk) send(c command) (int, any) {
	r := c.(request)
	values := map[variable]string{}
	for name, value := range w.Values {
		values[variable(name)] = value
	}
	call := Call{Service: r.service.token, Method: r.method, URL: r.joinedURL().with(values), Headers: map[string]string{}}
	if call.Service == "" {
		call.Service = "graph"
	}
	for _, h := range r.headers {
		call.Headers[h.name] = h.value.(string)
	}
	if r.body != nil {
		call.Body = []byte(jsonOf(r.body, func(v variable) string { return values[v] }))
		call.Headers["Content-Type"] = "application/json"
	}
	status, body := w.Send(call)
	var answer any
	_ = json.Unmarshal(body, &answer) // some answers have no body
	return status, answer
}

func (w *Walk) do(name string, c command) error {
	status, answer := w.send(c)
	if status >= 300 {
		return fmt.Errorf("%s: %d %v", name, status, answer)
	}
	if result, ok := property(answer, "operationResult").(map[string]any); ok && result["isSuccess"] != true {
		return fmt.Errorf("%s: %v", name, result)
	}
	return nil
}

// find looks the step up and sets its variables.
func (w *Walk) find(t *step) (bool, error) {
	for _, k := range t.find.take {
		w.Values[string(k.variable)] = ""
	}
	status, answer := w.send(t.find.command)
	if status == 404 {
		return false, nil
	}
	if status != 200 {
		return false, fmt.Errorf("look for %s: %d %v", t.name, status, answer)
	}
	item := w.pick(&t.find, answer)
	if item == nil {
		return false, nil
	}
	for _, k := range t.find.take {
		value := fmt.Sprint(property(item, k.property))
		if k.condition != nil {
			value = "no"
			if w.holds(k.condition, item) {
				value = "yes"
			}
		}
		w.Values[string(k.variable)] = value
	}
	return true, nil
}

// pick is the item of the answer that the lookup is about.
func (w *Walk) pick(l *lookup, answer any) any {
	if len(l.lists) == 0 {
		return answer
	}
	var items []any
	for _, name := range l.lists {
		if name == itself {
			items = append(items, answer)
		} else if list, ok := property(answer, name).([]any); ok {
			items = append(items, list...)
		}
	}
	for _, item := range items {
		all := true
		for i := range l.where {
			all = all && w.holds(&l.where[i], item)
		}
		if all {
			return item
		}
	}
	return nil
}

func (w *Walk) holds(c *condition, item any) bool {
	values := map[variable]string{}
	for name, value := range w.Values {
		values[variable(name)] = value
	}
	have, want := property(item, c.property), c.value.with(values)
	switch c.kind {
	case isTrue:
		return have == true
	case endsWith:
		return strings.HasSuffix(fmt.Sprint(have), want)
	case contains:
		list, _ := have.([]any)
		for _, v := range list {
			if v == want {
				return true
			}
		}
		return false
	}
	return have == want
}

// property reads one with dots, as PowerShell does: of a list, that of each item.
func property(v any, name string) any {
	for part := range strings.SplitSeq(strings.ReplaceAll(name, "[]", ""), ".") {
		if bare, ok := strings.CutSuffix(part, "[0]"); ok {
			list, _ := property(v, bare).([]any)
			if len(list) == 0 {
				return nil
			}
			v = list[0]
			continue
		}
		switch have := v.(type) {
		case map[string]any:
			v = have[part]
		case []any:
			var all []any
			for _, item := range have {
				all = append(all, property(item, part))
			}
			v = all
		default:
			return nil
		}
	}
	return v
}

// Hostile are values that would do harm as code.
var Hostile = hostile

// AllOptions are all kinds of scripts, by name.
func AllOptions() map[string]Options { return options() }
