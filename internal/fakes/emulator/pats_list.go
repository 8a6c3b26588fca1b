package emulator

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// A page is where a list continues, and the content of a continuation token. It is
// an offset into the list at the time of the request: revocations between two pages
// make the reader miss entries, so a sweep must read the list again.
type page struct {
	Filter    string `json:"f"`
	Sort      string `json:"s"`
	Ascending bool   `json:"a"`
	Offset    int    `json:"o"`
}

// list answers GET without authorizationId. $top is the length of the page,
// at most 100; the filters must be the same on every page.
func (c *patCall) list() {
	query := c.r.URL.Query()
	for name, values := range query {
		known := []string{"api-version", "displayFilterOption", "sortByOption", "isSortAscending", "$top", "continuationToken"}
		if !slices.Contains(known, name) || len(values) > 1 {
			c.badRequest("System.ArgumentException", "the query parameter "+name+" is unknown or given twice")
			return
		}
	}
	at := page{Filter: "active", Sort: "displayDate"}
	if v := query.Get("displayFilterOption"); v != "" {
		at.Filter = v
	}
	if v := query.Get("sortByOption"); v != "" {
		at.Sort = v
	}
	if v := query.Get("isSortAscending"); v != "" {
		ascending, err := strconv.ParseBool(v)
		if err != nil {
			c.badRequest("System.ArgumentException", "isSortAscending must be true or false")
			return
		}
		at.Ascending = ascending
	}
	if !slices.Contains([]string{"active", "revoked", "expired", "all"}, at.Filter) ||
		!slices.Contains([]string{"displayName", "displayDate", "status"}, at.Sort) {
		c.badRequest("System.ArgumentException", "displayFilterOption or sortByOption is not one of its values")
		return
	}
	size := c.organization.PageSize
	if query.Has("$top") {
		n, err := strconv.Atoi(query.Get("$top"))
		if err != nil || n < 1 || n > 100 {
			c.badRequest("System.ArgumentOutOfRangeException", "$top must be 1 to 100")
			return
		}
		size = n
	}
	if v := query.Get("continuationToken"); v != "" {
		from, ok := parsePage(v)
		if ok {
			at.Offset = from.Offset
		}
		if !ok || from != at {
			c.badRequest("System.ArgumentException", "the continuation token is not that of a page with these filters")
			return
		}
	}

	found := c.matching(at)
	rest := found[min(at.Offset, len(found)):]
	answer := struct {
		ContinuationToken string           `json:"continuationToken"`
		PATTokens         []map[string]any `json:"patTokens"`
	}{PATTokens: []map[string]any{}}
	for _, p := range rest[:min(size, len(rest))] {
		answer.PATTokens = append(answer.PATTokens, p.json(false))
	}
	if len(rest) > size {
		at.Offset += size
		answer.ContinuationToken = at.token()
	}
	writeJSON(c.w, http.StatusOK, answer)
}

// matching are the caller's PATs that pass the filter, in order.
func (c *patCall) matching(at page) []*PAT {
	status := func(p *PAT) string {
		switch {
		case p.Revoked:
			return "revoked"
		case !p.active(c.now):
			return "expired"
		}
		return "active"
	}
	var found []*PAT
	for _, p := range c.pats {
		mine := p.Owner == c.user && strings.EqualFold(p.Organization, c.organization.Name)
		if mine && (at.Filter == "all" || at.Filter == status(p)) {
			found = append(found, p)
		}
	}
	slices.SortStableFunc(found, func(a, b *PAT) int {
		var order int
		switch at.Sort {
		case "displayName":
			order = strings.Compare(a.Name, b.Name)
		case "status":
			order = cmp.Compare(status(a), status(b))
		default:
			order = a.ValidTo.Compare(b.ValidTo)
		}
		if !at.Ascending {
			return -order
		}
		return order
	})
	return found
}

func (p page) token() string {
	b, _ := json.Marshal(p)
	return base64.RawURLEncoding.EncodeToString(b)
}

func parsePage(token string) (p page, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(token)
	return p, err == nil && json.Unmarshal(b, &p) == nil && p.Offset > 0
}
