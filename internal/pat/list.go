package pat

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"hash/maphash"
	"iter"
	"net/http"
	"net/url"
	"strconv"
)

// Show says which PATs a list shows.
type Show string

// The values of Show: the specification's DisplayFilterOptions.
const (
	Active  Show = "active"  // neither revoked nor expired
	Revoked Show = "revoked" // revoked
	Expired Show = "expired" // expired, but not revoked
	All     Show = "all"
)

// SortBy says in which order a list shows PATs.
type SortBy string

// The values of SortBy: the specification's SortByOptions.
const (
	ByDate   SortBy = "displayDate"
	ByName   SortBy = "displayName"
	ByStatus SortBy = "status"
)

// Filter says what a list shows, and how. The zero value shows the active PATs,
// by date, the latest first.
type Filter struct {
	Show      Show   // "": Active
	SortBy    SortBy // "": ByDate
	Ascending bool
}

// PageSize is the most PATs that the API gives in one page.
const PageSize = pageSize

const (
	pageSize   = 100    // the most that the API gives
	maxEntries = 10_000 // of a page, should a server give more than it is asked for
	maxPages   = 10_000 // a million PATs: no user has as many
)

// page is PagedPatTokens.
type page struct {
	ContinuationToken string          `json:"continuationToken"`
	PatTokens         json.RawMessage `json:"patTokens"`
}

// tokens reads the PATs of the page. A page without patTokens must not pass for
// an empty list, so that is an error; and so are more PATs than any server has a
// reason to send, each of which takes many times the room of "{}".
func (p *page) tokens() ([]Token, error) {
	d := json.NewDecoder(bytes.NewReader(p.PatTokens))
	switch begin, err := d.Token(); {
	case err != nil:
		return nil, err
	case begin == nil:
		return nil, nil
	case begin != json.Delim('['):
		return nil, errNoList
	}
	var list []Token
	for d.More() {
		var t patToken
		if err := d.Decode(&t); err != nil {
			return nil, err
		}
		if list = append(list, t.token()); len(list) > maxEntries {
			return nil, errNoList
		}
	}
	return list, nil
}

// errNoList is the error of patTokens that are something else, or far too many.
var errNoList = errors.New("no list of PATs")

// List returns the PATs of the user, asking for one page of them at a time: what
// has been ranged over is not kept. Who goes on after an error has the same page
// asked for again, but for an error of the list itself, which is its end.
func (c *Client) List(ctx context.Context, f Filter) iter.Seq2[Token, error] {
	if f.Show == "" {
		f.Show = Active
	}
	if f.SortBy == "" {
		f.SortBy = ByDate
	}
	return func(yield func(Token, error) bool) {
		fail := func(r call, status int, message string, body []byte) {
			yield(Token{}, c.refused(r, &Error{
				Status: status, Unreadable: true, foreign: isHTML(body), Message: c.outside(message, ""),
			}))
		}
		// The API wants the same filters on every page.
		r := call{op: "list", method: http.MethodGet, limit: maxPage, query: url.Values{
			"displayFilterOption": {string(f.Show)},
			"sortByOption":        {string(f.SortBy)},
			"isSortAscending":     {strconv.FormatBool(f.Ascending)},
			"$top":                {strconv.Itoa(pageSize)},
		}}
		seed, seen := maphash.MakeSeed(), map[uint64]struct{}{}
		for range maxPages {
			status, body, err := c.send(ctx, r)
			if err != nil {
				if !yield(Token{}, err) {
					return
				}
				continue
			}
			var p page
			var tokens []Token
			if err = c.decode(body, &p); err == nil {
				tokens, err = p.tokens()
			}
			if err != nil {
				fail(r, status, "the answer is "+looksLike(body)+" where a list of PATs was due", body)
				return
			}
			for _, t := range tokens {
				if !yield(t, nil) {
					return
				}
			}
			if p.ContinuationToken == "" {
				return
			}
			sum := maphash.String(seed, p.ContinuationToken)
			if _, again := seen[sum]; again {
				fail(r, status, "the list of PATs goes round in a circle: a continuation token came twice", nil)
				return
			}
			seen[sum] = struct{}{}
			r.query.Set("continuationToken", p.ContinuationToken)
		}
		fail(r, http.StatusOK, "the list of PATs has no end: more than "+strconv.Itoa(maxPages)+" pages", nil)
	}
}
