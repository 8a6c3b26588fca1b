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

// Show selects the PATs of a list.
type Show string

// The values of Show: the specification's DisplayFilterOptions.
const (
	Active  Show = "active"  // neither revoked nor expired
	Revoked Show = "revoked" // revoked
	Expired Show = "expired" // expired, but not revoked
	All     Show = "all"
)

// SortBy is the order of a list.
type SortBy string

// The values of SortBy: the specification's SortByOptions.
const (
	ByDate   SortBy = "displayDate"
	ByName   SortBy = "displayName"
	ByStatus SortBy = "status"
)

// Filter selects and orders the PATs of a list. The zero value selects the active
// PATs by date, the latest first.
type Filter struct {
	Show      Show   // "": Active
	SortBy    SortBy // "": ByDate
	Ascending bool
}

const (
	pageSize   = 100    // the API's maximum
	maxEntries = 10_000 // of a page, in case a server sends more than pageSize
	maxPages   = 10_000 // a million PATs: no user has that many
)

// page is PagedPatTokens.
type page struct {
	ContinuationToken string          `json:"continuationToken"`
	PatTokens         json.RawMessage `json:"patTokens"`
	failure
}

// tokens reads the PATs of the page. A page without patTokens is an error, so that it
// is not mistaken for an empty list. So are more than maxEntries PATs, which would
// use much memory.
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
		list = append(list, t.token())
		if len(list) > maxEntries {
			return nil, errNoList
		}
	}
	return list, nil
}

// errNoList is the error of patTokens that are not a list, or too long a list.
var errNoList = errors.New("no list of PATs")

// A Cursor is a position between two pages of a list. An error does not move it, so
// the same page can be requested again, also by another [Client] with a newer token
// of the same user. It stores no PAT.
type Cursor struct {
	filter Filter
	next   string // the continuation token; "" is the first page
	done   bool
	seed   maphash.Seed
	seen   map[uint64]struct{} // continuation tokens that were used
}

// NewCursor returns the position before the first page.
func NewCursor(f Filter) *Cursor {
	if f.Show == "" {
		f.Show = Active
	}
	if f.SortBy == "" {
		f.SortBy = ByDate
	}
	return &Cursor{filter: f, seed: maphash.MakeSeed(), seen: map[uint64]struct{}{}}
}

// Begun reports whether a page has been read.
func (c *Cursor) Begun() bool { return len(c.seen) > 0 }

// Done reports whether the last page has been read.
func (c *Cursor) Done() bool { return c.done }

// CursorRefused reports whether [Client.Next] may have failed because the server no longer
// accepts the continuation token.
func CursorRefused(err error) bool {
	var refused *Error
	return errors.As(err, &refused) && (refused.Status == 400 || refused.Status == 404 || refused.Status == 410)
}

// Next reads the page at the cursor and moves the cursor after it. Undocumented by
// Microsoft: the effect on a continuation token of PATs that are added or removed.
func (c *Client) Next(ctx context.Context, at *Cursor) ([]Token, error) {
	// The API requires the same filters for every page.
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
		return fail("the list of PATs repeats: a continuation token came twice")
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
	err = httpclient.Decode(body, &p)
	if err == nil {
		list, err = p.tokens()
	}
	if err != nil {
		return nil, c.withCall(r, c.unreadableError(status, header, body, " instead of a list of PATs", secret.Value{}))
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

// List returns the PATs of the user one by one, see [Client.Pages].
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

// Pages returns the PATs of the user page by page. It requests one page at a time and
// does not keep earlier ones. If the loop goes on after an error, the same page is
// requested again; an error that is Unreadable ends the iteration.
func (c *Client) Pages(ctx context.Context, f Filter) iter.Seq2[[]Token, error] {
	return func(yield func([]Token, error) bool) {
		at := NewCursor(f)
		for range maxPages + 1 { // one more, for the error that there are too many
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
