package memnet

import (
	"context"
	"errors"
	"net/http"
	"syscall"
	"testing"
	"testing/synctest"
	"time"
)

// A server that answers after an hour is waited for, without an hour passing.
func TestServe(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n Network
		at := n.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			time.Sleep(time.Hour)
			w.WriteHeader(http.StatusTeapot)
		}))
		client := &http.Client{Transport: &http.Transport{DialContext: n.DialContext}}
		start := time.Now()
		resp, err := client.Get(at)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if took := time.Since(start); resp.StatusCode != http.StatusTeapot || took != time.Hour {
			t.Errorf("status %d after %s", resp.StatusCode, took)
		}
	})
}

func TestRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var n Network
		l := n.Listen()
		l.Close()
		for _, address := range []string{l.Addr().String(), "127.0.0.1:99"} {
			if _, err := n.DialContext(t.Context(), "tcp", address); !errors.Is(err, syscall.ECONNREFUSED) {
				t.Errorf("%s: %v", address, err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := n.DialContext(ctx, "tcp", n.Listen().Addr().String()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a listener that accepts nothing: %v", err)
		}
	})
}
