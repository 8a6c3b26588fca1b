package lease

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/settings"
)

// Stage is how far a lease has come.
type Stage string

// The stages of a lease, in order.
const (
	// Started: nothing was sent to Azure DevOps yet.
	Started Stage = "started"
	// Intended: the request to mint may have been sent and may still take effect.
	Intended Stage = "intended"
	// Minted: there is a PAT, and its id is known. PATs of unsettled requests were
	// looked for.
	Minted Stage = "minted"
	// HandedOver: the job has the PAT, and skip-revoke leaves it to its expiry.
	HandedOver Stage = "handedOver"
	// Closed: it is certain that no PAT is left.
	Closed Stage = "closed"
)

// Record is what a later process needs to end the lease. It holds no secret.
type Record struct {
	Version int   `json:"v"`
	Stage   Stage `json:"stage"`
	// Name is the display name under which the PAT is, or will be, minted.
	Name string `json:"name,omitempty"`
	// Intended is when the request that mints was about to be sent, by this
	// machine's clock.
	Intended time.Time `json:"intended,omitzero"`
	// Unsettled counts the requests to mint that had no conclusive answer and whose
	// PATs were not found: there may be that many more PATs of this name, or there
	// will be when a late request takes effect.
	Unsettled int `json:"unsettled,omitempty"`
	// ID is the authorization id of the PAT.
	ID string `json:"id,omitempty"`
	// ValidFrom and ValidTo bound the PAT's life, by the server's clock.
	ValidFrom time.Time `json:"validFrom,omitzero"`
	ValidTo   time.Time `json:"validTo,omitzero"`
	// User is the object id of the user whose PAT it is, where it is known.
	User string `json:"user,omitempty"`
	// Skew is how far this machine's clock is ahead of Azure DevOps', by when the
	// PAT began, or before that as far as it is known.
	Skew     httpclient.Skew `json:"skew,omitzero"`
	Settings settings.Saved  `json:"settings"`
}

// Unrecorded is the record of a lease of which only the name is known, now: if
// no PAT has it, one may still be on its way.
func Unrecorded(name string, now time.Time) Record {
	return Record{Stage: Intended, Name: name, Intended: now}
}

// version of the format of Record.
const version = 2

// ErrRecord is returned for a text that is no record.
var ErrRecord = errors.New("not a record of a lease")

// String is the record as one line of JSON.
func (r Record) String() string {
	r.Version = version
	for _, t := range []*time.Time{&r.Intended, &r.ValidFrom, &r.ValidTo} {
		if y := t.Year(); y < 0 || y > 9999 {
			*t = time.Time{} // a server's nonsense, which RFC 3339 cannot hold
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // a name is to be found in it as it is
	if err := e.Encode(r); err != nil {
		panic(err) // strings, numbers and times that fit
	}
	return string(bytes.TrimRight(b.Bytes(), "\n"))
}

// ParseRecord reads what [Record.String] wrote.
func ParseRecord(text string) (Record, error) {
	var r Record
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return Record{}, ErrRecord
	}
	if r.Version != version {
		return Record{}, fmt.Errorf("%w in version %d", ErrRecord, version)
	}
	switch r.Stage {
	case Started, Intended, Minted, HandedOver, Closed:
		return r, nil
	}
	return Record{}, ErrRecord
}

// Expired reports whether it is certain that the PAT has ended by itself at a
// moment of this machine's clock, if that was not set since the mint.
func (r Record) Expired(now time.Time) bool {
	return !r.ValidTo.IsZero() && now.Round(0).Add(-r.Skew.Max).After(r.ValidTo)
}

// ServerTime is a moment of this machine's clock by Azure DevOps'.
func (r Record) ServerTime(now time.Time) time.Time {
	return now.Add(-r.Skew.Estimate())
}
