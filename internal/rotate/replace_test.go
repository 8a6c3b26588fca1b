package rotate_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"azdo-pat/internal/lease"
	"azdo-pat/internal/pat"
	"azdo-pat/internal/rotate"
	"azdo-pat/internal/secret"
)

// service is Azure DevOps in a synctest bubble.
type service struct {
	mu     sync.Mutex
	pats   []pat.Token
	ended  []string       // ids in the order in which they were revoked
	made   int            // PATs so far
	hidden int            // readings that do not show the newest PAT yet
	onList func(read int) // before each reading
	reads  int
	grant  func(*pat.Token) // changes the answer to an update
	fail   map[string]error // of what is to be ended, by id
	gone   bool             // the PATs in fail are no longer listed once they were to be changed
}

func (s *service) Create(_ context.Context, c pat.Create) (pat.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.made++
	t := pat.Token{
		ID: fmt.Sprintf("%08d-0000-4000-8000-000000000000", s.made), DisplayName: c.DisplayName, Scopes: c.Scopes,
		ValidFrom: time.Now().UTC(), ValidTo: c.ValidTo, TargetAccounts: []string{"contoso"}, Secret: secret.New(fmt.Sprintf("secret-%d", s.made)),
	}
	s.pats = append(s.pats, t)
	return t, nil
}

func (s *service) Pages(context.Context, pat.Filter) iter.Seq2[[]pat.Token, error] {
	return func(yield func([]pat.Token, error) bool) {
		s.mu.Lock()
		s.reads++
		read := s.reads
		s.mu.Unlock()
		if s.onList != nil {
			s.onList(read)
		}
		s.mu.Lock()
		list := slices.DeleteFunc(slices.Clone(s.pats), func(t pat.Token) bool { return !t.ValidTo.After(time.Now()) })
		if s.hidden > 0 {
			s.hidden--
			list = list[:len(list)-1]
		}
		s.mu.Unlock()
		yield(list, nil)
	}
}

func (s *service) Update(_ context.Context, id string, u pat.Update) (pat.Token, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fail[id]; err != nil {
		if s.gone {
			s.pats = slices.DeleteFunc(s.pats, func(t pat.Token) bool { return t.ID == id })
		}
		return pat.Token{}, err
	}
	for i := range s.pats {
		if s.pats[i].ID == id {
			s.pats[i].ValidTo = u.ValidTo
			t := s.pats[i]
			if s.grant != nil {
				s.grant(&t)
				s.pats[i] = t
			}
			return t, nil
		}
	}
	return pat.Token{}, &pat.Error{Status: 200, Code: "tokenNotFound"}
}

func (s *service) Revoke(_ context.Context, id string) (gone bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.fail[id]; err != nil {
		return false, err
	}
	n := len(s.pats)
	s.pats = slices.DeleteFunc(s.pats, func(t pat.Token) bool { return t.ID == id })
	if len(s.pats) < n {
		s.ended = append(s.ended, id)
	}
	return len(s.pats) == n, nil
}

func (s *service) Listed(_ context.Context, id string, show pat.Show) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	active := slices.ContainsFunc(s.pats, func(t pat.Token) bool { return t.ID == id && t.ValidTo.After(time.Now()) })
	return show == pat.Revoked && slices.Contains(s.ended, id) || show == pat.Active && active, nil
}

type noLog struct{}

func (noLog) Infof(string, ...any)   {}
func (noLog) Warning(string, string) {}

// rotating is one rotation.
type rotating struct {
	*testing.T
	*service
	rotate.Consumer
	client *lease.Client
	before []pat.Token
	own    *lease.Lease
}

func (s *service) rotating(t *testing.T, overlap time.Duration) *rotating {
	return &rotating{
		T: t, service: s, Consumer: rotate.Consumer{Name: "sonarqube", WhenLeft: 10 * day, Overlap: overlap, Log: noLog{}},
		client: &lease.Client{
			PATs: s, Record: func(lease.Record) error { return nil }, Mask: func(secret.Value) error { return nil },
			Log: noLog{}, Server: time.Now, NoLaterProcess: true,
		},
	}
}

// begin is the rotation up to the command.
func (r *rotating) begin() {
	r.Helper()
	r.look()
	r.mint()
}

func (r *rotating) look() {
	r.Helper()
	var err error
	if r.before, err = r.List(r.Context(), r.client); err != nil {
		r.Fatal(err)
	}
}

func (r *rotating) mint() {
	r.Helper()
	var err error
	r.mu.Lock()
	name := fmt.Sprintf("azdo-pat rotated %s %016x", r.Name, r.made)
	r.mu.Unlock()
	r.own, err = r.client.Acquire(r.Context(), lease.Record{Name: name}, lease.Want{Scopes: []string{"vso.code"}, Lifetime: 30 * day})
	if err != nil {
		r.Fatal(err)
	}
	time.Sleep(time.Second) // no two PATs begin at the same time
}

// replace is the rest.
func (r *rotating) replace() error {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Minute)
	defer cancel()
	_, err := r.Replace(ctx, r.client, r.own, r.before)
	return err
}

// active are the numbers of the PATs that are active, in the order in which they were made.
func (r *rotating) active() (numbers string) {
	list, err := r.List(r.Context(), r.client)
	if err != nil {
		r.Fatal(err)
	}
	for _, t := range slices.Backward(list) {
		numbers += strings.TrimLeft(t.ID[:8], "0")
	}
	return numbers
}

func bubble(t *testing.T, test func(*testing.T, *service)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { test(t, &service{}) })
}

func (r *rotating) wantActive(numbers string) {
	r.Helper()
	if got := r.active(); got != numbers {
		r.Errorf("active are %q, want %q", got, numbers)
	}
}

func TestReplaceRevokesTheOlder(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		for n := range 3 { // the first two rotations were killed
			r := s.rotating(t, 0)
			r.begin()
			if n < 2 {
				continue
			}
			if err := r.replace(); err != nil {
				t.Error(err)
			}
			r.wantActive("3")
		}
	})
}

// A PAT that the list does not show yet was not ended by another rotation.
func TestReplaceWithALateList(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		s.rotating(t, 0).begin()
		r := s.rotating(t, 0)
		r.begin()
		s.hidden = 1
		if err := r.replace(); err != nil {
			t.Error(err)
		}
		r.wantActive("2")
	})
}

func TestReplaceWithAnOverlap(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		s.rotating(t, 0).begin()
		time.Sleep(30*day - 2*time.Hour) // what is left of the first is less than the overlap
		s.rotating(t, 0).begin()
		r := s.rotating(t, day)
		r.begin()
		if err := r.replace(); err != nil {
			t.Error(err)
		}
		r.wantActive("123")
		time.Sleep(2 * time.Hour)
		r.wantActive("23")
		time.Sleep(22*time.Hour - time.Minute)
		r.wantActive("23")
		time.Sleep(2 * time.Minute)
		r.wantActive("3")
		if len(s.ended) > 0 {
			t.Errorf("%q were revoked", s.ended)
		}
	})
}

// A PAT that expires or is revoked before its end can be moved is no failure.
func TestReplaceOfOneThatHasEnded(t *testing.T) {
	for _, code := range []string{"tokenNotFound", "expiredPatCannotBeExtended"} {
		for _, gone := range []bool{false, true} {
			t.Run(fmt.Sprint(code, " gone ", gone), func(t *testing.T) {
				bubble(t, func(t *testing.T, s *service) {
					s.rotating(t, 0).begin()
					r := s.rotating(t, time.Hour)
					r.begin()
					s.fail = map[string]error{s.pats[0].ID: &pat.Error{Op: "update", Status: 200, Code: code}}
					s.gone = gone
					if err := r.replace(); (err == nil) != gone {
						t.Error(err)
					}
				})
			})
		}
	}
}

// If one PAT cannot be ended, the others still are, and the error names it.
func TestReplaceEndsTheOthers(t *testing.T) {
	for _, overlap := range []time.Duration{0, time.Hour} {
		t.Run(overlap.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, s *service) {
				for range 3 {
					s.rotating(t, 0).begin()
				}
				s.fail = map[string]error{s.pats[1].ID: &pat.Error{Op: "revoke", Status: 403}}
				r := s.rotating(t, overlap)
				r.begin()
				err := r.replace()
				if err == nil || strings.Count(err.Error(), "is not known to have ended") != 1 || !strings.Contains(err.Error(), "PAT 00000002-") || errors.Is(err, rotate.ErrOvertaken) {
					t.Errorf("%v", err)
				}
				time.Sleep(overlap)
				r.wantActive("24")
			})
		})
	}
}

// A PAT that comes back with more than it had, or with a later end, is revoked.
func TestReplaceGrantedMore(t *testing.T) {
	for name, grant := range map[string]func(*pat.Token){
		"later":             func(p *pat.Token) { p.ValidTo = p.ValidTo.Add(time.Minute) },
		"scope":             func(p *pat.Token) { p.Scopes = []string{"app_token"} },
		"all organizations": func(p *pat.Token) { p.TargetAccounts = nil },
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, s *service) {
				s.rotating(t, 0).begin()
				s.grant = grant
				r := s.rotating(t, time.Hour)
				r.begin()
				if err := r.replace(); !errors.Is(err, lease.ErrWider) || !strings.Contains(err.Error(), "the PAT was revoked") {
					t.Errorf("%v", err)
				}
				r.wantActive("2")
			})
		})
	}
}

// A policy can move an end further than asked.
func TestReplaceClamped(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		s.rotating(t, 0).begin()
		s.grant = func(p *pat.Token) { p.ValidTo = time.Now() }
		r := s.rotating(t, time.Hour)
		r.begin()
		if err := r.replace(); err != nil {
			t.Error(err)
		}
		r.wantActive("2")
	})
}

// Two rotations at once, in every order of their steps: the one that gives
// its PAT to the consumer last keeps that PAT active, or notices that another one is
// needed. The consumer's PAT is active in the end.
func TestTwoAtOnce(t *testing.T) {
	for _, overlap := range []time.Duration{0, time.Hour} {
		for order := range orders(4) {
			t.Run(fmt.Sprintf("%v, overlap %s", order, overlap), func(t *testing.T) {
				bubble(t, func(t *testing.T, s *service) {
					s.rotating(t, 0).mint() // the old one
					var stored atomic.Value // the id of the consumer's, a string
					var wait sync.WaitGroup
					turns := newTurns(order)
					for n := range 2 {
						wait.Go(func() {
							for round := range 4 {
								r := s.rotating(t, overlap)
								turns.take(n, round)
								r.look()
								turns.take(n, round)
								r.mint()
								turns.take(n, round)
								stored.Store(r.own.Token.ID)
								turns.take(n, round)
								err := r.replace()
								if err == nil {
									return
								}
								if !errors.Is(err, rotate.ErrOvertaken) {
									t.Error(err)
									return
								}
							}
							t.Error("it did not end")
						})
					}
					wait.Wait()
					time.Sleep(overlap + time.Minute)
					if !slices.ContainsFunc(s.pats, func(p pat.Token) bool { return p.ID == stored.Load() && p.ValidTo.After(time.Now()) }) {
						t.Errorf("the consumer's PAT %s is not active", stored.Load())
					}
					// The next rotation leaves one.
					r := s.rotating(t, 0)
					r.begin()
					if err := r.replace(); err != nil || len(r.active()) != 1 {
						t.Errorf("then %q are active, %v", r.active(), err)
					}
				})
			})
		}
	}
}

// turns lets two rotations take their steps in an order, in the first round. Each step of
// the order is begun a second after the one before it.
type turns struct{ at [2][]time.Time }

func newTurns(order string) *turns {
	t := &turns{}
	for i, who := range order {
		t.at[who-'0'] = append(t.at[who-'0'], time.Now().Add(time.Duration(i)*10*time.Second))
	}
	return t
}

func (t *turns) take(n, round int) {
	if round == 0 && len(t.at[n]) > 0 {
		time.Sleep(time.Until(t.at[n][0]))
		t.at[n] = t.at[n][1:]
	}
}

// orders are the words of so many zeros and ones.
func orders(each int) iter.Seq[string] {
	var all func(prefix string, zeros, ones int, yield func(string) bool) bool
	all = func(prefix string, zeros, ones int, yield func(string) bool) bool {
		if zeros == 0 && ones == 0 {
			return yield(prefix)
		}
		return (zeros == 0 || all(prefix+"0", zeros-1, ones, yield)) && (ones == 0 || all(prefix+"1", zeros, ones-1, yield))
	}
	return func(yield func(string) bool) { all("", each, each, yield) }
}

// A rotation that is told to stop while it waits for another ends nothing.
func TestReplaceIsStopped(t *testing.T) {
	bubble(t, func(t *testing.T, s *service) {
		s.rotating(t, 0).begin()
		r := s.rotating(t, 0)
		r.begin()
		other := s.rotating(t, 0)
		other.begin()
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		defer stop()
		ctx, cancel := context.WithCancelCause(ctx)
		s.reads, s.onList = 0, func(read int) {
			if read == 2 {
				cancel(io.ErrUnexpectedEOF)
			}
		}
		_, err := r.Replace(ctx, r.client, r.own, r.before)
		if !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%v", err)
		}
		r.wantActive("123")
	})
}
