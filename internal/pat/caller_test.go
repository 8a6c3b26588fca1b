package pat

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/hint"
)

// asServicePrincipal makes the token that of the app registration itself.
func asServicePrincipal(claims map[string]any) {
	for _, name := range []string{"scp", "upn", "unique_name"} {
		delete(claims, name)
	}
	claims["idtyp"], claims["oid"] = "app", emulator.AppPrincipalID
}

func TestCaller(t *testing.T) {
	t.Parallel()
	e := emulator.Start(t)
	got, err := emulated(t, e, asServicePrincipal).Caller(t.Context())
	if err != nil || got != emulator.AppPrincipalID {
		t.Errorf("service principal: %q, %v", got, err)
	}
	got, err = emulated(t, e).Caller(t.Context())
	if err != nil || got != emulator.ServiceUserUPN {
		t.Errorf("user: %q, %v", got, err)
	}
	for _, q := range e.Requests() {
		if q.Method != http.MethodGet || !strings.HasSuffix(q.URL, "/contoso/_apis/connectionData?api-version=7.1-preview.1") {
			t.Errorf("%s %s", q.Method, q.URL)
		}
	}
}

func TestCallerRefused(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		world    func(*emulator.State)
		answer   emulator.Fault
		err      string
		hint     string
		noMember bool
	}{
		"no member": {world: func(w *emulator.State) { w.Organizations[0].Members = nil },
			err:  "ask whose token it is in contoso at ",
			hint: "the service principal is not a member of the organization", noMember: true},
		"another tenant": {world: func(w *emulator.State) { w.Organizations[0].Tenant = emulator.AppID },
			err: "not signed in", hint: "check that `tenant-id` is the tenant"},
		"a web page": {answer: emulator.Answer(200, http.Header{"Content-Type": {"text/html"}}, "<html><title>Proxy</title></html>"),
			err: "instead of the caller", hint: "token-service-url"},
		"nobody": {answer: emulator.Answer(200, http.Header{"Content-Type": {"application/json"}}, `{"authenticatedUser":{}}`),
			err: "instead of the caller", hint: "token-service-url"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := emulator.Start(t)
			if tc.world != nil {
				e.Change(tc.world)
			}
			if tc.answer != nil {
				e.Intercept(emulator.OpConnectionData, tc.answer)
			}
			_, err := emulated(t, e, asServicePrincipal).Caller(t.Context())
			if err == nil || !strings.Contains(err.Error(), tc.err) {
				t.Fatalf("error %v, want %q", err, tc.err)
			}
			if got := hint.Of(err); !strings.Contains(got, tc.hint) || strings.Contains(got, "vso.pats") && tc.answer == nil {
				t.Errorf("hint %q", got)
			}
			if refused := (*Error)(nil); !errors.As(err, &refused) || refused.NoMember() != tc.noMember {
				t.Errorf("NoMember is %t", !tc.noMember)
			}
		})
	}
}
