package pat

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
)

// Revoke revokes a PAT. It succeeds only if the server confirms the revocation, or if
// the PAT is gone: it has ended before, or never existed.
//
// A 200 or 204 confirms it if the body is empty, or JSON without a patTokenError other
// than "none". A tokenNotFound, an authorizationNotFound or a 404 means that the PAT is
// gone. A proxy can send a 404 too, so the PAT must then also be absent from the list
// of active PATs. Undocumented by Microsoft: the answer to a second revocation.
func (c *Client) Revoke(ctx context.Context, id string) (gone bool, err error) {
	return c.revoke(ctx, id, false)
}

// RevokeListed is [Client.Revoke] for a PAT that was just listed: if Azure DevOps
// itself answers that it is gone, the list is not read again.
func (c *Client) RevokeListed(ctx context.Context, id string) (gone bool, err error) {
	return c.revoke(ctx, id, true)
}

func (c *Client) revoke(ctx context.Context, id string, listed bool) (gone bool, err error) {
	r := call{op: "revoke", method: http.MethodDelete, id: id, query: byID(id)}
	status, body, header, err := c.send(ctx, r)
	if err == nil {
		err = c.checkRevoked(r, status, body, header)
	}
	var e *Error
	switch {
	case !errors.As(err, &e):
		return false, nil
	case e.NotFound() && listed && e.Code != "":
		return true, nil
	case e.NotFound(), e.Status == http.StatusNotFound && e.foreign:
		e = c.stillListed(ctx, e)
		if e == nil {
			return true, nil
		}
	}
	return false, e
}

// checkRevoked returns nil if a 2xx confirms a revocation.
func (c *Client) checkRevoked(r call, status int, body []byte, header http.Header) error {
	doubt := &Error{Status: status, Unreadable: true, Support: httpclient.SupportIDs(header, c.token)}
	var res result
	unread := httpclient.Decode(body, &res)
	// JSON other than an object has no patTokenError either.
	if mistyped := (*json.UnmarshalTypeError)(nil); errors.As(unread, &mistyped) && mistyped.Field == "" {
		unread = nil
	}
	switch {
	case status != http.StatusOK && status != http.StatusNoContent:
		doubt.Message = "the answer does not say that the PAT is revoked"
		doubt.noContent, doubt.undecided = true, true
	case len(httpclient.Bare(body)) == 0:
		return nil
	case unread != nil:
		doubt = c.unreadableError(status, header, body, " and does not confirm the revocation", secret.Value{})
	case res.failed():
		return c.withCall(r, &Error{
			Status:  status,
			Code:    c.code(*res.PatTokenError, "", ""),
			Message: c.redact(res.PatTokenErrorMessage, ""),
			Support: httpclient.SupportIDs(header, c.token),
		})
	case res.TypeKey != "":
		doubt.Code, doubt.Message = c.code(res.TypeKey, "", ""), c.redact(res.text(), "")
	default:
		return nil
	}
	return c.withCall(r, doubt)
}

// stillListed looks for a PAT in the list of active PATs after the server answered
// that it is gone. It returns nil if the list does not have it, and an error made from
// that answer if the list has it or cannot be read.
func (c *Client) stillListed(ctx context.Context, said *Error) *Error {
	e := *said
	switch active, err := c.Listed(ctx, said.ID, Active); {
	case err != nil:
		e.Err = err
		why := err.Error()
		if list := (*Error)(nil); errors.As(err, &list) {
			why = list.Message
			if list.Status != 0 {
				why = "status " + strconv.Itoa(list.Status)
			}
		}
		e.Message = sanitize.Line(strings.TrimPrefix(e.Message+"; ", "; ")+"whether the PAT is gone is not known, because the list cannot be read: "+why, maxMessage)
	case active:
		e.Message = sanitize.Line(strings.TrimSuffix("the PAT is still active: "+e.Message, ": "), maxMessage)
	default:
		return nil
	}
	e.contradicted = true
	return &e
}

// maxReadings limits how often a list of several pages is read until two readings
// agree.
const maxReadings = 6

// Listed reports whether the list shows a PAT with that id. If PATs end while the
// pages are being read, others move to a page that was already read and are missed.
// So a list of several pages without the PAT is read until two readings agree.
func (c *Client) Listed(ctx context.Context, id string, show Show) (bool, error) {
	var before []byte
	for range maxReadings {
		ids := sha256.New()
		at, pages := NewCursor(Filter{Show: show}), 0
		for ; !at.Done(); pages++ {
			tokens, err := c.Next(ctx, at)
			if err != nil {
				return false, err
			}
			for _, t := range tokens {
				if strings.EqualFold(t.ID, id) {
					return true, nil
				}
				ids.Write([]byte(t.ID + "\n"))
			}
		}
		sum := ids.Sum(nil)
		if pages < 2 || bytes.Equal(sum, before) {
			break
		}
		before = sum
	}
	return false, nil
}

// Unanswered reports whether a request was sent and its result is unknown: there was
// no complete answer, a gateway timed out, or a revocation was only accepted (202).
func (e *Error) Unanswered() bool {
	var inner *Error
	switch {
	case e.Unsent, errors.As(e.Err, &inner):
		return false
	case e.undecided:
		return true
	case e.Status == http.StatusRequestTimeout, e.Status == http.StatusBadGateway, e.Status == http.StatusGatewayTimeout:
		return true
	}
	return e.Status == 0 || e.Err != nil
}
