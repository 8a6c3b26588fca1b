package lease

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"azdo-pat/internal/pat"
)

// paged lists in pages that continue at an offset. Other jobs act between two pages.
type paged struct {
	*process
	meanwhile func(page int)
	fails     func(page int) error
	size      int   // of a page; zero: 100
	asked     []int // first PATs of pages
}

func (p *paged) Pages(ctx context.Context, _ pat.Filter) iter.Seq2[[]pat.Token, error] {
	return func(yield func([]pat.Token, error) bool) {
		for from := 0; ; {
			p.asked = append(p.asked, from)
			if p.fails != nil {
				if err := p.fails(len(p.asked)); err != nil {
					if !yield(nil, err) {
						return
					}
					continue
				}
			}
			p.mu.Lock()
			all := slices.Clone(p.active)
			p.mu.Unlock()
			to := min(from+cmp.Or(p.size, 100), len(all))
			if !yield(all[min(from, to):to], nil) || to == len(all) {
				return
			}
			from = to
			if p.meanwhile != nil {
				p.meanwhile(len(p.asked))
			}
		}
	}
}

// others adds PATs of other jobs.
func (w *world) others(n int) {
	for i := range n {
		w.commit(1000+i, pat.Create{DisplayName: fmt.Sprintf("azdo-pat contoso/app run 42.1 leg-%d", i)})
	}
}

// end removes the first PATs of the list, which are those of other jobs.
func (w *world) end(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.active = slices.Delete(w.active, 0, n)
}

// A PAT that moves to a page already read, because other jobs revoke theirs, used to be
// taken for gone.
func TestListThatMoves(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		others int
		moves  func(w *world, page int)
		pages  int
		ended  int
		size   int // of a page
	}{
		{"no other job", 0, func(*world, int) {}, 1, 1, 0},
		{"a full page", 99, func(*world, int) {}, 1, 1, 0},
		{"it is seen at once", 150, func(*world, int) {}, 2, 1, 0},
		{"it slips once", 150, func(w *world, page int) {
			if page == 1 {
				w.end(60)
			}
		}, 3, 1, 0},
		{"it slips once, where pages are small", 35, func(w *world, page int) {
			if page == 1 {
				w.end(20)
			}
		}, 3, 1, 20},
		{"it slips twice", 290, func(w *world, page int) {
			switch page {
			case 2: // it is the 291st, and becomes the 191st
				w.end(100)
			case 4: // at the next reading it becomes the 91st
				w.end(100)
			}
		}, 3 + 2 + 1, 1, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t}
				w.others(tc.others)
				w.commit(1, pat.Create{DisplayName: leaseName})
				p := &paged{process: w.process(), size: tc.size, meanwhile: func(page int) { tc.moves(w, page) }}
				l := p.client()
				l.PATs = p
				// Long after the request that minted, so there is no wait.
				ended, _, err := l.Release(t.Context(), Record{Stage: Intended, Name: leaseName, Intended: time.Now().Add(-time.Hour)})
				if err != nil || len(ended) != tc.ended || len(p.asked) != tc.pages {
					t.Errorf("ended %d, %v, by the pages from %d", len(ended), err, p.asked)
				}
				if ids := w.ids(); slices.Contains(ids, "#1") {
					t.Error("it is left")
				}
			})
		})
	}
}

// If the PAT is not in the list, two equal reads settle it, or the limit of reads.
func TestListWithoutIt(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		moves func(*world, int)
		pages int
	}{
		{"quiet", func(*world, int) {}, 2 * 3},
		{"one moment of trouble", func(w *world, page int) {
			if page == 2 {
				w.end(1)
			}
		}, 3 * 3},
		{"no end of trouble", func(w *world, page int) { w.end(1) }, maxListReads * 3},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t}
				w.others(290)
				p := &paged{process: w.process(), meanwhile: func(page int) { tc.moves(w, page) }}
				l := p.client()
				l.PATs = p
				ended, _, err := l.Release(t.Context(), Record{Stage: Intended, Name: leaseName, Intended: time.Now().Add(-time.Hour)})
				if err != nil || len(ended) != 0 || len(p.asked) != tc.pages {
					t.Errorf("ended %d, %v, by the pages from %d", len(ended), err, p.asked)
				}
			})
		})
	}
}

// A page that failed is requested again, without those before it; what they showed is
// revoked even if the list cannot be read to its end.
func TestPageThatFails(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name  string
		fails map[int]error // by the n-th page asked for
		asked []int
		err   error
	}{
		{"for a while", map[int]error{2: err500List, 3: err503}, []int{0, 100, 100, 100, 200}, nil},
		{"for good", map[int]error{2: err403List}, []int{0, 100}, err403List},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := &world{T: t}
				w.commit(1, pat.Create{DisplayName: leaseName})
				w.others(250)
				p := &paged{process: w.process(), fails: func(n int) error { return tc.fails[n] }}
				l := p.client()
				l.PATs = p
				ended, _, err := l.Release(t.Context(), Record{Stage: Intended, Name: leaseName, Intended: time.Now().Add(-time.Hour)})
				if !errors.Is(err, tc.err) || len(ended) != 1 || !slices.Equal(p.asked, tc.asked) {
					t.Errorf("ended %d, %v, by the pages from %d", len(ended), err, p.asked)
				}
				if strings.HasPrefix(strings.Join(w.ids(), " "), "#1 ") {
					t.Error("it is left")
				}
			})
		})
	}
}
