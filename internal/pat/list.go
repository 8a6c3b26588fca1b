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

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
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

const (
	pageSize   = 100    // the most that the API gives
	maxEntries = 10_000 // of a page, should a server give more than it is asked for
	maxPages   = 10_000 // a million PATs: no user has as many
)

// page is PagedPatTokens.
type page struct {
	ContinuationToken string          `json:"continuationToken"`
	PatTokens         json.RawMessage `json:"patTokens"`
	failure
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

// A Cursor is a place between two pages of a list. An error leaves it where it
// is, so that the same page can be asked for again, by another [Client] too: one
// with a newer token of the same user. It keeps no PAT.
type Cursor struct {
	filter Filter
	next   string // the continuation token; "" is the first page
	done   bool
	seed   maphash.Seed
	seen   map[uint64]struct{} // continuation tokens that were used
}

// NewCursor returns the place before the first page.
func NewCursor(f Filter) *Cursor {
	if f.Show == "" {
		f.Show = Active
	}
	if f.SortBy == "" {
		f.SortBy = ByDate
	}
	return &Cursor{filter: f, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
}

// Begun reports whether a page has been read, Done whether the last one has.
func (c *Cursor) Begun() bool { return len(c.seen) > 0 }
func (c *Cursor) Done() bool  { return c.done }

// Next reads the page at the cursor and moves the cursor behind it. What the
// server makes of a continuation token when PATs have come or gone since is
// documented nowhere.
func (c *Client) Next(ctx context.Context, at *Cursor) ([]Token, error) {
	// The API wants the same filters on every page.
	r := call{op: "list", method: http.MethodGet, limit: maxPage, query: url.Values{
		"displayFilterOption": {string(at.filter.Show)},
		"sortByOption":        {string(at.filter.SortBy)},
		"isSortAscending":     {strconv.FormatBool(at.filter.Ascending)},
		"$top":                {strconv.Itoa(pageSize)},
	}}
	fail := func(message string) ([]Token, error) {
		return nil, c.withCall(r, &Error{Status: http.StatusOK, Unreadable: true, Message: message})
	}
	sum := maphash.String(at.seed, at.next)
	if _, again := at.seen[sum]; again {
		return fail("the list of PATs goes round in a circle: a continuation token came twice")
	}
	if len(at.seen) == maxPages {
		return fail("the list of PATs has no end: more than " + strconv.Itoa(maxPages) + " pages")
	}
	if at.next != "" {
		r.query.Set("continuationToken", at.next)
	}
	status, body, header, err := c.send(ctx, r)
	if err != nil {
		return nil, err
	}
	var p page
	var list []Token
	if err = httpclient.Decode(body, &p); err == nil {
		list, err = p.tokens()
	}
	if err != nil {
		return nil, c.withCall(r, c.unreadableError(status, header, body, " where a list of PATs was due", secret.Value{}))
	}
	if p.failed() {
		return nil, c.withCall(r, &Error{
			Status: status, Unreadable: true,
			Code:    c.code(*p.PatTokenError, "", ""),
			Message: c.redact(p.PatTokenErrorMessage, ""),
			Support: httpclient.SupportIDs(header, c.token),
		})
	}
	at.seen[sum] = struct{}{}
	at.next, at.done = p.ContinuationToken, p.ContinuationToken == ""
	return list, nil
}

// List returns the PATs of the user, one after the other, by [Client.Pages].
func (c *Client) List(ctx context.Context, f Filter) iter.Seq2[Token, error] {
	return func(yield func(Token, error) bool) {
		for tokens, err := range c.Pages(ctx, f) {
			if err != nil && !yield(Token{}, err) {
				return
			}
			for _, t := range tokens {
				if !yield(t, nil) {
					return
				}
			}
		}
	}
}

// Pages returns the PATs of the user page by page, asking for one page at a time:
// what has been ranged over is not kept. After an error the same page is asked for
// again, except after an error of the list itself, which is its end.
func (c *Client) Pages(ctx context.Context, f Filter) iter.Seq2[[]Token, error] {
	return func(yield func([]Token, error) bool) {
		at := NewCursor(f)
		for range maxPages + 1 { // the last one for the error that there are more
			if at.Done() {
				return
			}
			tokens, err := c.Next(ctx, at)
			var refused *Error
			if !yield(tokens, err) || errors.As(err, &refused) && refused.Unreadable {
				return
			}
		}
	}
}
