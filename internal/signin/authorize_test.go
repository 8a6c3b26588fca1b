package signin_test

import (
	"context"
	"errors"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"

	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/memnet"
	"azdo-pat/internal/httpclient"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/signin"
)

// With a policy, nothing is opened to Entra or Azure DevOps before it has decided, and an
// allowed job opens no more than one without a policy.
func TestNoConnectionBeforeThePolicy(t *testing.T) {
	t.Parallel()
	refused := errors.New("refused")
	for name, tc := range map[string]struct{ tenant, fromFile bool }{
		"tenant known":                {true, false},
		"tenant unknown":              {false, false},
		"tenant known, from a file":   {true, true},
		"tenant unknown, from a file": {false, true},
	} {
		for _, refusal := range []error{refused, nil} {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				synctest.Test(t, func(t *testing.T) {
					var network memnet.Network
					e := emulator.StartWith(t, emulator.Options{Network: &network})
					extra := map[string]string{}
					if !tc.tenant {
						extra["INPUT_TENANT-ID"] = ""
					}
					if tc.fromFile {
						extra["INPUT_FEDERATED-TOKEN-FILE"] = filepath.Join(t.TempDir(), "token.jwt")
						if err := os.WriteFile(extra["INPUT_FEDERATED-TOKEN-FILE"], []byte(e.Assertion()), 0o600); err != nil {
							t.Fatal(err)
						}
					}
					var mu sync.Mutex
					dialled := map[string]int{}
					dial := func(ctx context.Context, transport, address string) (net.Conn, error) {
						mu.Lock()
						dialled[address]++
						mu.Unlock()
						return network.DialContext(ctx, transport, address)
					}
					decided := false
					c, _ := newClient(t, e, emulator.RefreshToken, func(o *signin.Options) {
						client, err := httpclient.NewClient(httpclient.Options{Dial: dial})
						if err != nil {
							t.Fatal(err)
						}
						o.HTTP = client
						o.Authorize = func(secret.Value) error { decided = true; return refusal }
					}, extra)
					_, err := c.SignIn(t.Context())
					if !decided || !errors.Is(err, refusal) {
						t.Errorf("decided: %t; error %v", decided, err)
					}
					synctest.Wait() // for connections that are opened in the background
					want := 1
					if refusal != nil {
						want = 0
					}
					for _, s := range []emulator.Service{emulator.Entra, emulator.AzureDevOps} {
						u, err := url.Parse(e.URL(s))
						if err != nil {
							t.Fatal(err)
						}
						if n := dialled[u.Host]; n != want {
							t.Errorf("refused: %t: %d connections to %s, want %d", refusal != nil, n, s, want)
						}
					}
				})
			})
		}
	}
}
