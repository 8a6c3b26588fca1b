package lease

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/pat"
)

// courses are the outcomes of the create requests.
var courses = map[string][]create{
	"answered":       {{commit: 300 * time.Millisecond, answer: 600 * time.Millisecond}},
	"answered late":  {{commit: 300 * time.Millisecond, answer: 5 * time.Second}},
	"committed late": {{commit: 5 * time.Second, answer: 6 * time.Second}},
	"held back":      {{commit: 30 * time.Second, answer: 30 * time.Second}},
	"held back, and the connection is lost": {
		{commit: 27 * time.Second, answer: 18 * time.Second, err: errReset},
		{commit: 30 * time.Second, answer: 30 * time.Second},
	},
	"committed after it was given up": {{commit: 44 * time.Second, answer: never}},
	"never answered":                  {{commit: 300 * time.Millisecond, answer: never}},
	"never committed":                 {{commit: never, answer: never}},
	"500 with a PAT":                  {{commit: 300 * time.Millisecond, answer: 500 * time.Millisecond, err: err500}},
	"500 and a PAT later":             {{commit: 900 * time.Millisecond, answer: 300 * time.Millisecond, err: err500}},
	"503, 503, and both PATs later": {
		{commit: 3 * time.Second, answer: 100 * time.Millisecond, err: err503},
		{commit: 6 * time.Second, answer: 100 * time.Millisecond, err: err503},
	},
	"503, then never answered": {
		{commit: 2 * time.Second, answer: 100 * time.Millisecond, err: err503},
		{commit: 3 * time.Second, answer: never},
	},
	"503, then answered": {
		{commit: never, answer: 100 * time.Millisecond, err: err503},
		{commit: 300 * time.Millisecond, answer: 3 * time.Second},
	},
	"429, then committed late": {
		{commit: never, answer: 100 * time.Millisecond, err: err429},
		{commit: 10 * time.Second, answer: never},
	},
	"half an answer":                    {{commit: 300 * time.Millisecond, answer: 600 * time.Millisecond, err: errHalf}},
	"half an answer that names the PAT": {{commit: 300 * time.Millisecond, answer: 600 * time.Millisecond, err: errHalf, withPAT: true}},
	"refused":                           {{commit: never, answer: 300 * time.Millisecond, err: errPolicy}},
}

// moments are the times at which a process may be stopped or killed.
func moments(course string) (all []time.Duration) {
	for at := 50 * time.Millisecond; at < 9*time.Second; at += 150 * time.Millisecond {
		all = append(all, at)
	}
	if strings.HasPrefix(course, "429") {
		for at := 29 * time.Second; at < 46*time.Second; at += 500 * time.Millisecond {
			all = append(all, at)
		}
	}
	for at := 14 * time.Second; at < 50*time.Second; at += 1500 * time.Millisecond {
		all = append(all, at)
	}
	return all
}

// release is the post step: it revokes what the record leads to.
func (w *world) release() {
	r := w.last()
	if r.Stage == Started || r.Stage == Closed {
		return
	}
	ctx, cancel := context.WithTimeout(w.Context(), 2*time.Minute)
	defer cancel()
	if _, _, err := w.process().client().Release(ctx, r); err != nil {
		w.Errorf("release: %v", err)
	}
}

// Told to stop at any time, the process leaves no PAT that the server had made by then
// and that was not handed over, within 5 seconds. The post step revokes later ones.
func TestToldToStopAtAnyMoment(t *testing.T) {
	t.Parallel()
	for name, creates := range courses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, at := range moments(name) {
				synctest.Test(t, func(t *testing.T) {
					w := &world{T: t, creates: creates, slowness: 200 * time.Millisecond}
					ctx, stop := context.WithCancelCause(t.Context())
					defer stop(nil)
					begin := time.Now()
					var made map[string]bool // what was there at that moment
					told := time.AfterFunc(at, func() {
						made = map[string]bool{}
						for _, id := range w.ids() {
							made[id] = true
						}
						stop(errSignal)
					})
					defer told.Stop()
					l, err := w.process().client().Acquire(ctx, fresh(), wanted)
					took := time.Since(begin)
					switch {
					case err == nil && took > at:
						t.Errorf("stopped after %s: a lease after %s", at, took)
					case err == nil && l.Record.Unsettled > 0:
						time.Sleep(commitWindow) // the job: for a lease that is handed over, it is looked just once more
					case err != nil && took > at+5*time.Second:
						t.Errorf("stopped after %s: it took %s more", at, took-at)
					case err != nil && took > at && !errors.Is(err, errSignal) && !errors.Is(err, errHalf): // which was the end already
						t.Errorf("stopped after %s: error %v does not say it", at, err)
					}
					if err != nil {
						for _, id := range w.ids() {
							if made[id] {
								t.Errorf("stopped after %s: %s is left; did\n  %s", at, id, strings.Join(w.journal, "\n  "))
							}
						}
					}
					w.release()
					time.Sleep(time.Minute)
					w.left()
					if t.Failed() {
						t.Logf("stopped after %s, %v", at, err)
					}
				})
			}
		})
	}
}

// Killed at any time, the process leaves a record that tells the post step where to look
// and for how long.
func TestKilledAtAnyMoment(t *testing.T) {
	t.Parallel()
	for name, creates := range courses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, at := range moments(name) {
				synctest.Test(t, func(t *testing.T) {
					w := &world{T: t, creates: creates, slowness: 200 * time.Millisecond}
					p := w.process()
					var handed *Lease
					go func() { handed, _ = p.client().Acquire(t.Context(), fresh(), wanted) }()
					time.Sleep(at)
					p.kill()
					synctest.Wait()
					if handed != nil && handed.Record.Unsettled > 0 {
						time.Sleep(commitWindow) // the job
					}
					w.release()
					time.Sleep(time.Minute)
					w.left()
					if t.Failed() {
						t.Logf("killed after %s, record %s", at, w.last())
					}
				})
			}
		})
	}
}

// Neither the create request nor the cleanup is answered: the time limit holds, and the
// record leads to what is left.
func TestStopWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		creates []create
		err     string
	}{
		"the answer is open": {[]create{{answer: never}}, `a PAT named "` + leaseName + `" may exist`},
		"the id is known":    {[]create{{answer: 1500 * time.Millisecond}}, "the PAT " + guid(1) + " could not be revoked"},
		"both":               {[]create{{answer: 1500 * time.Millisecond, err: errHalf, withPAT: true}}, "the PAT " + guid(1) + ` could not be revoked, and a PAT named "` + leaseName + `" may exist`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, creates: tc.creates, slowness: time.Hour}
				ctx, stop := context.WithCancelCause(t.Context())
				defer stop(nil)
				begin := time.Now()
				time.AfterFunc(time.Second, func() { stop(errSignal) })
				_, err := w.process().client().Acquire(ctx, fresh(), wanted)
				if took := time.Since(begin) - time.Second; took > 5*time.Second || took < 4*time.Second {
					t.Errorf("it took %s", took)
				}
				if !errors.Is(err, errSignal) || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "\n") {
					t.Errorf("error %v, want %q in it", err, tc.err)
				}
				if h := hint.Of(err); !strings.Contains(h, "the post step looks for it again") {
					t.Errorf("hint %q", h)
				}
				w.left("#1")
				w.slowness = 0
				w.release()
				w.left()
			})
		})
	}
}

// Told to stop before anything was sent, it looks for nothing.
func TestToldToStopBefore(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"before", "while the intent is recorded"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, stop := context.WithCancelCause(t.Context())
				w := &world{T: t}
				if name == "before" {
					stop(errSignal)
				} else {
					w.recordFails = func(Record) error { stop(errSignal); return nil }
				}
				_, err := w.process().client().Acquire(ctx, fresh(), wanted)
				if !errors.Is(err, errSignal) || err.Error() != errSignal.Error() {
					t.Errorf("error %v", err)
				}
				if w.created+w.listed+w.revoked > 0 || w.last().Stage != Closed {
					t.Errorf("did %q", w.journal)
				}
			})
		})
	}
}

// Cleaning up after a timeout has 5 seconds of its own.
func TestTimeIsUp(t *testing.T) {
	t.Parallel()
	late := errors.New("not done within 10s")
	for name, creates := range courses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, creates: creates, slowness: 700 * time.Millisecond}
				ctx, cancel := context.WithTimeoutCause(t.Context(), 10*time.Second, late)
				defer cancel()
				begin := time.Now()
				_, err := w.process().client().Acquire(ctx, fresh(), wanted)
				if took := time.Since(begin); took > 10*time.Second+Cleanup {
					t.Errorf("it took %s", took)
				}
				if err == nil && w.last().Unsettled > 0 {
					time.Sleep(commitWindow) // the job
				}
				w.release()
				time.Sleep(time.Minute)
				w.left()
			})
		})
	}
}

// A PAT that could not be handed over is revoked.
func TestUndo(t *testing.T) {
	t.Parallel()
	cause := errors.New("hand over the PAT: no space left on device")
	for _, tc := range []struct {
		name    string
		creates []create
		revokes []error
		stopped bool
		later   time.Duration // it is told to stop so long after
		slow    time.Duration
		did     []string // after the acquisition
		err     string
		left    []string
		took    time.Duration
	}{
		{name: "well", did: []string{"revoke #1", "record closed #1"}, err: cause.Error() + "; the PAT was revoked"},
		{name: "told to stop", stopped: true, did: []string{"revoke #1", "record closed #1"}, err: cause.Error() + "; the PAT was revoked"},
		{name: "unsettled", creates: []create{{commit: never, err: err500}}, did: []string{"record intended #1 unsettled", "revoke #1", "list"},
			err: cause.Error() + `; a PAT named "` + leaseName + `" may still be created until 2000-01-01T00:00:45Z`},
		{name: "unsettled that is settled", creates: []create{{commit: 10 * time.Second, err: err500}}, did: []string{"record intended #2 unsettled", "revoke #2", "list", "revoke #1", "record closed #2"}, err: cause.Error() + "; the PAT was revoked"},
		{name: "not revoked", revokes: []error{err403Revoke}, did: []string{"revoke #1"}, err: cause.Error() + "; the PAT " + guid(1) + " could not be revoked: revoke PAT", left: []string{"#1"}},
		{name: "not answered", slow: time.Hour, did: []string{"revoke #1"}, err: "could not be revoked", left: []string{"#1"}, took: Cleanup},
		{name: "told to stop meanwhile and not answered", later: 100 * time.Millisecond, slow: time.Hour, did: []string{"revoke #1"}, err: "could not be revoked", left: []string{"#1"}, took: 100*time.Millisecond + StopCleanup},
		{name: "told to stop in the end and not answered", later: 4 * time.Second, slow: time.Hour, did: []string{"revoke #1"}, err: "could not be revoked", left: []string{"#1"}, took: Cleanup},
		{name: "told to stop and not answered", stopped: true, slow: time.Hour, did: []string{"revoke #1"}, err: "could not be revoked", left: []string{"#1"}, took: StopCleanup},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t, creates: tc.creates}
				ctx, stop := context.WithCancelCause(t.Context())
				defer stop(nil)
				client := w.process().client()
				l, err := client.Acquire(ctx, fresh(), wanted)
				if err != nil {
					t.Fatal(err)
				}
				time.Sleep(11 * time.Second)
				w.journal, w.revokes, w.slowness = nil, tc.revokes, tc.slow
				if tc.stopped {
					stop(errSignal)
				}
				if tc.later > 0 {
					time.AfterFunc(tc.later, func() { stop(errSignal) })
				}
				begin := time.Now()
				err = client.Undo(ctx, l, cause)
				if !errors.Is(err, cause) || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("error %v, want %q in it", err, tc.err)
				}
				if took := time.Since(begin); took != tc.took {
					t.Errorf("it took %s, want %s", took, tc.took)
				}
				w.did(tc.did...)
				w.left(tc.left...)
				w.revokes, w.slowness = nil, 0
				w.release()
				w.left()
			})
		})
	}
}

// Revoking another PAT must not count as revoking ours: the name is looked for whatever
// the answer named.
func TestHalfAnAnswerThatNamesAnotherPAT(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := &world{T: t, creates: []create{{err: errHalf, withPAT: true}}}
		p := w.process()
		l := p.client()
		l.PATs = misnamed{p}
		_, err := l.Acquire(t.Context(), fresh(), wanted)
		if err == nil {
			t.Fatal("no error")
		}
		w.did("record intended", "create", "mask #1", "record intended #77 unsettled", "revoke #77", "list", "revoke #1", "record closed #77")
		w.left()
	})
}

type misnamed struct{ *process }

func (m misnamed) Create(ctx context.Context, c pat.Create) (pat.Token, error) {
	t, err := m.process.Create(ctx, c)
	t.ID = guid(77)
	return t, err
}
