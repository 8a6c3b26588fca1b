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

// Stage is a lease's progress.
type Stage string

// The stages of a lease, in order.
const (
	// Started: nothing was sent to Azure DevOps yet.
	Started Stage = "started"
	// Intended: the request to mint may have been sent and may still take effect.
	Intended Stage = "intended"
	// Minted: the PAT exists and its id is known. PATs of unsettled requests were
	// searched for.
	Minted Stage = "minted"
	// HandedOver: the job has the PAT and skip-revoke is set, so it is not revoked.
	HandedOver Stage = "handedOver"
	// Closed: it is certain that no PAT is left.
	Closed Stage = "closed"
)

// Record is what a later process needs to revoke the lease. It holds no secret.
type Record struct {
	Version int   `json:"v"`
	Stage   Stage `json:"stage"`
	// Name is the display name of the PAT.
	Name string `json:"name,omitempty"`
	// Intended is when the request to mint was about to be sent, by this machine's
	// clock.
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
	// User is the object id of the user whose PAT it is; empty: unknown.
	User string `json:"user,omitempty"`
	// Skew is how far this machine's clock is ahead of Azure DevOps', measured by the
	// PAT's validFrom; before the PAT exists, the best estimate.
	Skew httpclient.Skew `json:"skew,omitzero"`
	// Folder is the name of the folder with the files of the setting configure, in the
	// job's temp folder; empty: there is none.
	Folder   string         `json:"folder,omitempty"`
	Settings settings.Saved `json:"settings"`
}

// Unrecorded is used if no record was found and only the name is known: a request to
// mint may still be in flight.
func Unrecorded(name string, now time.Time) Record {
	return Record{Stage: Intended, Name: name, Intended: now}
}

// version is the version of the format.
const version = 2

// ErrRecord is the error of a text that is not a record.
var ErrRecord = errors.New("not a record of a lease")

// String is the record as one line of JSON.
func (r Record) String() string {
	r.Version = version
	for _, t := range []*time.Time{&r.Intended, &r.ValidFrom, &r.ValidTo} {
		if y := t.Year(); y < 0 || y > 9999 {
			*t = time.Time{} // RFC 3339 cannot represent it
		}
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // keep names readable
	if err := e.Encode(r); err != nil {
		panic(err) // strings, numbers and valid times never fail
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

// Expired reports whether the PAT has certainly expired at a time of this machine's
// clock, provided that the clock was not set since the PAT was minted.
func (r Record) Expired(now time.Time) bool {
	return !r.ValidTo.IsZero() && now.Round(0).Add(-r.Skew.Max).After(r.ValidTo)
}

// ServerTime converts a time of this machine's clock to Azure DevOps'.
func (r Record) ServerTime(now time.Time) time.Time {
	return now.Add(-r.Skew.Estimate())
}
