package lease

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
)

const (
	leaseName = "azdo-pat contoso/app run 42.1 build 0123456789abcdef"
	lifetime  = time.Hour
)

var wanted = Want{Scopes: []string{"vso.code_write", "vso.packaging"}, Lifetime: lifetime}

// world is Azure DevOps and a CI system in a synctest bubble. Its journal lists the
// actions of the process, in order.
type world struct {
	*testing.T
	// creates are the fates of the requests to mint, one after the other. Further ones
	// have the zero value: minted and answered at once.
	creates []create
	// The errors of the other requests, one after the other; nil, and further ones:
	// success.
	lists, revokes, updates, looks []error
	down                           time.Duration // until then after the bubble's start, updates are answered 503
	slowness                       time.Duration // of every list and revoke
	recordFails                    func(Record) error
	maskFails                      error
	// change edits minted PATs, renew renewed ones, and rename only the answers to
	// creates.
	change, renew, rename func(*pat.Token)
	skew                  time.Duration // of this machine's clock, ahead of the server's
	// guess and date are the skew that this machine has measured, before and after the
	// first answer to a create; nil: the true one.
	guess, date *time.Duration

	mu       sync.Mutex
	journal  []string
	minted   int
	created  int
	listed   int
	revoked  int
	updated  int
	looked   int
	ended    []pat.Token // revoked
	active   []pat.Token
	asked    []pat.Create
	records  []Record
	logged   []string
	warnings []string
}

// create is the fate of a request to mint.
type create struct {
	commit  time.Duration // from the request until the PAT exists; negative: never
	answer  time.Duration // from the request until the answer; negative: never
	err     error         // the answer; nil: the PAT
	withPAT bool          // the answer has the PAT's id and secret, besides err
}

const never = -1

// process is one process in the world.
type process struct {
	*world
	killed chan struct{} // closed when it is killed
}

func (w *world) process() *process { return &process{w, make(chan struct{})} }

// client is a Client of the process.
func (p *process) client() *Client {
	return &Client{
		PATs: p, Record: p.record, Mask: p.mask, Log: p,
		Server:   func() time.Time { return time.Now().Add(-p.believed()) },
		Leftover: "the post step looks for it again",
	}
}

// believed is the skew that the process assumes.
func (p *process) believed() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.created == 0 && p.guess != nil {
		return *p.guess
	}
	if p.created > 0 && p.date != nil {
		return *p.date
	}
	return p.skew
}

// kill ends the process like SIGKILL. Requests that it has sent are still in flight.
func (p *process) kill() { close(p.killed) }

// alive ends the goroutine if the process was killed.
func (p *process) alive() {
	select {
	case <-p.killed:
		runtime.Goexit()
	default:
	}
}

func (p *process) note(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.journal = append(p.journal, fmt.Sprintf(format, args...))
}

// entry is a record as the journal shows it.
func entry(r Record) string {
	text := "record " + string(r.Stage)
	if r.ID != "" {
		text += " " + short(r.ID)
	}
	if r.Unsettled > 0 {
		text += " unsettled"
	}
	return text
}

func (p *process) record(r Record) error {
	p.alive()
	p.note("%s", entry(r))
	if p.recordFails != nil {
		if err := p.recordFails(r); err != nil {
			return err
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.records = append(p.records, r)
	return nil
}

func (p *process) mask(v secret.Value) error {
	p.alive()
	if v.IsZero() {
		return nil
	}
	p.note("mask %s", strings.TrimLeft(strings.TrimPrefix(v.Reveal(), "secret-of-"), "0"))
	return p.maskFails
}

func (p *process) Infof(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.logged = append(p.logged, fmt.Sprintf(format, args...))
}

func (p *process) Warning(title, text string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.warnings = append(p.warnings, title+": "+text)
}

func guid(n int) string { return fmt.Sprintf("%08d-aaaa-0000-0000-000000000000", n) }

// short is the number of a PAT's id.
func short(id string) string {
	head, _, _ := strings.Cut(id, "-")
	return "#" + strings.TrimLeft(head, "0")
}

// commit creates a PAT.
func (w *world) commit(n int, c pat.Create) pat.Token {
	t := pat.Token{
		ID: guid(n), DisplayName: c.DisplayName, Scopes: slices.Clone(c.Scopes), ValidFrom: time.Now().Add(-w.skew), ValidTo: c.ValidTo,
		TargetAccounts: []string{"99999999-0000-0000-0000-000000000000"}, Secret: secret.New(fmt.Sprintf("secret-of-#%d", n)),
	}
	if w.change != nil {
		w.change(&t)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active = append(w.active, t)
	return t
}

func (p *process) Create(ctx context.Context, c pat.Create) (pat.Token, error) {
	p.alive()
	p.mu.Lock()
	// The intent counts this request too. The journal shows those before it.
	if n := len(p.records); n > 0 && len(p.journal) > 0 && p.journal[len(p.journal)-1] == entry(p.records[n-1]) {
		before := p.records[n-1]
		before.Unsettled--
		p.journal[len(p.journal)-1] = entry(before)
	}
	p.journal = append(p.journal, "create")
	var script create
	if p.created < len(p.creates) {
		script = p.creates[p.created]
	}
	p.created++
	p.asked = append(p.asked, c)
	if !c.ValidTo.After(time.Now().Add(-p.skew)) {
		script = create{commit: never, err: errEnd}
	}
	n := 0
	if script.commit >= 0 {
		p.minted++
		n = p.minted
	}
	p.mu.Unlock()

	var token pat.Token
	done := make(chan struct{})
	if script.commit == 0 {
		token = p.commit(n, c)
		close(done)
	} else if script.commit > 0 {
		time.AfterFunc(script.commit, func() {
			token = p.commit(n, c)
			close(done)
		})
	}
	answer := script.answer
	if answer < 0 {
		// The client gives up. The server may still carry it out.
		answer, script.err = httpclient.RequestTimeout, &pat.Error{Op: "create", Err: context.DeadlineExceeded, Message: "it took too long"}
	}
	wait := time.NewTimer(answer)
	defer wait.Stop()
	select {
	case <-wait.C:
	case <-ctx.Done():
		p.alive()
		return pat.Token{}, &pat.Error{Op: "create", Err: ctx.Err(), Message: ctx.Err().Error()}
	}
	p.alive()
	if script.err == nil || script.withPAT {
		<-done
	}
	if p.rename != nil {
		p.rename(&token)
	}
	switch {
	case script.err == nil:
		return token, nil
	case script.withPAT:
		return pat.Token{ID: token.ID, DisplayName: token.DisplayName, Secret: token.Secret}, script.err
	}
	return pat.Token{}, script.err
}

// pause delays a request by slowness.
func (p *process) pause(ctx context.Context, op string) error {
	p.alive()
	t := time.NewTimer(p.slowness)
	defer t.Stop()
	select {
	case <-t.C:
		p.alive()
		return nil
	case <-ctx.Done():
		p.alive()
		return &pat.Error{Op: op, Err: context.Cause(ctx), Message: context.Cause(ctx).Error()}
	}
}

func (p *process) Pages(ctx context.Context, f pat.Filter) iter.Seq2[[]pat.Token, error] {
	return func(yield func([]pat.Token, error) bool) {
		if f != (pat.Filter{}) {
			p.Errorf("filter %+v: only active PATs should be listed", f)
		}
		p.note("list")
		if err := p.pause(ctx, "list"); err != nil {
			yield(nil, err)
			return
		}
		p.mu.Lock()
		var err error
		if p.listed < len(p.lists) {
			err = p.lists[p.listed]
		}
		p.listed++
		active := slices.Clone(p.active)
		p.mu.Unlock()
		if err != nil { // after a first page
			active = active[:min(1, len(active))]
		}
		for i := range active {
			active[i].Secret = secret.Value{}
		}
		if yield(active, nil) && err != nil {
			yield(nil, err)
		}
	}
}

func (p *process) Update(ctx context.Context, id string, u pat.Update) (pat.Token, error) {
	p.note("update %s until %s", short(id), u.ValidTo.Format(time.TimeOnly))
	if u.DisplayName != "" || u.Scopes != nil {
		p.Errorf("update %+v: only the end should change", u)
	}
	if err := p.pause(ctx, "update"); err != nil {
		return pat.Token{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.updated++; p.updated <= len(p.updates) && p.updates[p.updated-1] != nil {
		return pat.Token{}, p.updates[p.updated-1]
	}
	if time.Since(time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)) < p.down {
		return pat.Token{}, err503
	}
	i := slices.IndexFunc(p.active, func(t pat.Token) bool { return t.ID == id })
	switch {
	case i < 0:
		return pat.Token{}, &pat.Error{Op: "update", Status: 200, Code: "tokenNotFound"}
	case !p.active[i].ValidTo.After(time.Now().Add(-p.skew)):
		return pat.Token{}, &pat.Error{Op: "update", Status: 200, Code: "expiredPatCannotBeExtended"}
	}
	p.active[i].ValidTo = u.ValidTo
	if p.renew != nil {
		p.renew(&p.active[i])
	}
	t := p.active[i]
	t.Secret = secret.Value{}
	return t, nil
}

func (p *process) Revoke(ctx context.Context, id string) (bool, error) {
	p.note("revoke %s", short(id))
	if err := p.pause(ctx, "revoke"); err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	before := len(p.active)
	end := func() {
		p.active = slices.DeleteFunc(p.active, func(t pat.Token) bool {
			ends := strings.EqualFold(t.ID, id)
			if ends {
				p.ended = append(p.ended, t)
			}
			return ends
		})
	}
	if p.revoked++; p.revoked <= len(p.revokes) && p.revokes[p.revoked-1] != nil {
		if errors.Is(p.revokes[p.revoked-1], errCarriedOut) {
			end()
		}
		return false, p.revokes[p.revoked-1]
	}
	end()
	return len(p.active) == before, nil
}

// Listed reports whether the list shows a PAT; ended PATs are only among all.
func (p *process) Listed(ctx context.Context, id string, show pat.Show) (bool, error) {
	p.note("look for %s among %s", short(id), show)
	if err := p.pause(ctx, "list"); err != nil {
		return false, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.looked++; p.looked <= len(p.looks) && p.looks[p.looked-1] != nil {
		return false, p.looks[p.looked-1]
	}
	among := p.active
	if show == pat.All {
		among = append(slices.Clone(p.active), p.ended...)
	}
	return slices.ContainsFunc(among, func(t pat.Token) bool { return strings.EqualFold(t.ID, id) }), nil
}

// did checks the whole journal.
func (w *world) did(want ...string) {
	w.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.journal, want) {
		w.Errorf("did\n  %s\nwant\n  %s", strings.Join(w.journal, "\n  "), strings.Join(want, "\n  "))
	}
}

// left checks which PATs are active.
func (w *world) left(want ...string) {
	w.Helper()
	if got := w.ids(); !slices.Equal(got, want) {
		w.Errorf("PATs %v are left, want %v; did\n  %s", got, want, strings.Join(w.journal, "\n  "))
	}
}

func (w *world) ids() (ids []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, t := range w.active {
		ids = append(ids, short(t.ID))
	}
	return ids
}

// last is the record that a later process reads.
func (w *world) last() Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.records) == 0 {
		return Record{Stage: Started}
	}
	r, err := ParseRecord(w.records[len(w.records)-1].String())
	if err != nil {
		w.Fatal(err)
	}
	return r
}

// fresh returns the record that an acquisition starts with.
func fresh() Record {
	return Record{Name: leaseName, Settings: settings.Saved{Identity: settings.AgentUser, Values: map[string]string{"organization": "contoso"}}}
}

// Errors of the API, and what they mean for a create.
var (
	// not settled
	err500     = &pat.Error{Op: "create", Status: 500, Message: "oops"}
	err503     = &pat.Error{Op: "create", Status: 503, RetryAfter: 4 * time.Second}
	err408     = &pat.Error{Op: "create", Status: 408}
	errReset   = &pat.Error{Op: "create", Err: errors.New("connection reset by peer"), Message: "connection reset by peer"}
	errHalf    = &pat.Error{Op: "create", Status: 200, Unreadable: true, Message: "the answer is cut off"}
	errUnread  = &pat.Error{Op: "create", Status: 200, Unreadable: true, Message: "the answer is HTML"}
	errUnknown = errors.New("something else")
	// settled
	err429    = &pat.Error{Op: "create", Status: 429, RetryAfter: 30 * time.Second}
	errUnsent = &pat.Error{Op: "create", Unsent: true, Err: errors.New("connection refused"), Message: "connection refused"}
	errPolicy = &pat.Error{Op: "create", Status: 200, Code: "patLifespanPolicyViolation"}
	errEnd    = &pat.Error{Op: "create", Status: 200, Code: "invalidValidTo"}
	errHTML   = &pat.Error{Op: "create", Status: 203, Message: "an HTML page"}
	err401    = &pat.Error{Op: "create", Status: 401}

	err403Revoke          = &pat.Error{Op: "revoke", Status: 403, Message: "not yours"}
	err500Revoke          = &pat.Error{Op: "revoke", Status: 500}
	errNoAnswer           = &pat.Error{Op: "revoke", Err: errors.New("connection reset by peer"), Message: "connection reset by peer"}
	errNoAnswerCarriedOut = &pat.Error{Op: "revoke", Err: errCarriedOut, Message: "it took too long"}
	err403List            = &pat.Error{Op: "list", Status: 403}
	err500List            = &pat.Error{Op: "list", Status: 500}
)

var errSignal = errors.New("stopped by a signal")

// errCarriedOut is the cause of an error of a request that has taken effect.
var errCarriedOut = errors.New("it took too long")
