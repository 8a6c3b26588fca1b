//go:build e2e

package e2e

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// actMatrix: eight legs that mint at the same moment have a PAT each under a name
// of its own, and a leg that ends revokes its own and no other.
//
// act counts every leg as the same job of the same run, so that here it is the
// request token alone that makes the difference, as it is on GitHub for the
// legs of one job.
func actMatrix(t *testing.T, w *workflow) {
	const legs = 8
	clear(w.env) // act would put it before the environment of the job
	for leg := range legs {
		job := w.StartJob(emulator.Job{Name: "leg"})
		w.vars[fmt.Sprintf("REQUEST_URL_%d", leg+1)] = job.RequestURL
		w.secrets[fmt.Sprintf("REQUEST_TOKEN_%d", leg+1)] = job.RequestToken
	}

	// No create is answered before all legs have sent theirs.
	var creates atomic.Int32
	together := make(chan struct{})
	allSent := sync.OnceFunc(func() { close(together) })
	w.Intercept(emulator.OpCreate, func(rw http.ResponseWriter, r *http.Request, next http.Handler) {
		if creates.Add(1) == legs {
			allSent() // it may be all of them again, after one was late
		}
		select {
		case <-together:
		case <-r.Context().Done(): // the others are late, and this leg has sent it again
			creates.Add(-1)
			panic(http.ErrAbortHandler)
		}
		next.ServeHTTP(rw, r)
	})
	// The last leg uses its PAT when all the others have revoked theirs.
	gate := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		for r.URL.Path == fmt.Sprintf("/%d", legs) && len(w.Active()) > 1 && r.Context().Err() == nil {
			time.Sleep(100 * time.Millisecond)
		}
	}))
	t.Cleanup(gate.Close)
	w.vars["WAIT_URL"] = gate.URL

	if !w.run(t) {
		t.Error("a leg failed")
	}
	w.pats(t, 0, legs)
	if named := strings.Count(w.names(), " / ") + 1; named != legs {
		t.Errorf("%d different names, want %d: %s", named, legs, w.names())
	}
	w.eachRevokedOnce(t)

	used := map[string]bool{}
	for _, line := range w.log.said("leg") {
		_, id, _ := strings.Cut(line, " ")
		used[id] = slices.ContainsFunc(w.PATs(), func(p emulator.PAT) bool { return p.ID == id })
	}
	for id, known := range used {
		if !known {
			t.Errorf("a leg was given the id %q, which is no PAT's", id)
		}
	}
	if len(used) != legs {
		t.Errorf("%d PATs were used, want %d: %v", len(used), legs, used)
	}
}
