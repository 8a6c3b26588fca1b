package pat

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"azdo-pat/internal/outside"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/wire"
)

// Revoke ends a PAT. It succeeds only if the server confirms it; gone says that
// the PAT had ended before, or was never there.
//
// A 200 or 204 confirms it if it is empty, or JSON without a patTokenError other
// than "none". A tokenNotFound or authorizationNotFound, and a 404, say that it
// is gone. A 404 that is not Azure DevOps's own (a page of a proxy or of a wrong
// host) is not taken at its word: then the PAT must be absent from the list of
// active ones. What a second revocation answers is documented nowhere.
func (c *Client) Revoke(ctx context.Context, id string) (gone bool, err error) {
	r := call{op: "revoke", method: http.MethodDelete, id: id, query: byID(id)}
	status, body, header, err := c.send(ctx, r)
	if err == nil {
		err = c.confirmed(r, status, body, header)
	}
	var e *Error
	switch {
	case !errors.As(err, &e):
		return false, nil
	case e.NotFound():
		return true, nil
	case e.Status == http.StatusNotFound && e.foreign:
		if e = c.stillListed(ctx, e); e == nil {
			return true, nil
		}
	}
	return false, e
}

// confirmed returns nil if a 2xx confirms a revocation.
func (c *Client) confirmed(r call, status int, body []byte, header http.Header) error {
	doubt := &Error{Status: status, Unreadable: true, Support: wire.SupportIDs(header, c.token)}
	var res result
	unread := wire.Decode(body, &res)
	// Some other JSON than an object has no patTokenError either.
	if mistyped := (*json.UnmarshalTypeError)(nil); errors.As(unread, &mistyped) && mistyped.Field == "" {
		unread = nil
	}
	switch {
	case status != http.StatusOK && status != http.StatusNoContent:
		doubt.Message = "the answer does not say that the PAT is revoked"
	case len(wire.Bare(body)) == 0:
		return nil
	case unread != nil:
		doubt = c.unreadable(status, header, body, " and does not confirm the revocation", secret.Value{})
	case res.failed():
		return c.refused(r, &Error{
			Status:  status,
			Code:    c.code(*res.PatTokenError, "", ""),
			Message: c.outside(res.PatTokenErrorMessage, ""),
			Support: wire.SupportIDs(header, c.token),
		})
	case res.TypeKey != "":
		doubt.Code, doubt.Message = c.code(res.TypeKey, "", ""), c.outside(res.text(), "")
	default:
		return nil
	}
	return c.refused(r, doubt)
}

// stillListed looks the PAT of a dubious 404 up in the list of active ones. It
// returns nil if it is not there, or else the error of the 404.
func (c *Client) stillListed(ctx context.Context, notFound *Error) *Error {
	for t, err := range c.List(ctx, Filter{}) {
		if err != nil {
			notFound.Err = err
			return notFound
		}
		if strings.EqualFold(t.ID, notFound.ID) {
			notFound.Message = outside.Line("the PAT is still active: "+notFound.Message, maxMessage)
			return notFound
		}
	}
	return nil
}
