package signin_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
)

// changed changes fields of the token endpoint's answers; nil removes a field.
func changed(fields map[string]any) emulator.Fault {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		answer := httptest.NewRecorder()
		next.ServeHTTP(answer, r)
		var body map[string]any
		if err := json.Unmarshal(answer.Body.Bytes(), &body); err != nil {
			panic(err)
		}
		for name, value := range fields {
			if body[name] = value; value == nil {
				delete(body, name)
			}
		}
		maps.Copy(w.Header(), answer.Header())
		w.Header().Del("Content-Length")
		w.WriteHeader(answer.Code)
		json.NewEncoder(w).Encode(body)
	}
}

// The end of the token is what the answer says, by Entra's clock, or the end in the token
// if that is earlier: a client must not depend on being able to read the token.
func TestEntraTokenEnds(t *testing.T) {
	t.Parallel()
	opaque := strings.Repeat("opaque", 300)
	for name, tc := range map[string]struct {
		answer map[string]any
		ahead  time.Duration // of Entra's clock
		want   time.Duration // from Entra's now; 0: an error
	}{
		"both agree":              {nil, 0, time.Hour},
		"the answer is earlier":   {map[string]any{"expires_in": 600}, 0, 10 * time.Minute},
		"the token is earlier":    {map[string]any{"expires_in": 86400}, 0, time.Hour},
		"only the token says it":  {map[string]any{"expires_in": nil}, 0, time.Hour},
		"an opaque token":         {map[string]any{"access_token": opaque, "expires_in": 1800}, 0, 30 * time.Minute},
		"nothing says it":         {map[string]any{"access_token": opaque, "expires_in": nil}, 0, 0},
		"by Entra's clock":        {map[string]any{"access_token": opaque}, 2 * time.Hour, time.Hour},
		"by Entra's, behind ours": {map[string]any{"access_token": opaque}, -2 * time.Hour, time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := emulator.Start(t)
			e.Advance(tc.ahead)
			e.Intercept(emulator.OpClientCredentials, changed(tc.answer))
			c, l := newClient(t, e, emulator.ServicePrincipal, nil, nil)
			got, err := c.EntraToken(t.Context())
			if tc.want == 0 {
				if err == nil || !strings.Contains(err.Error(), "does not say when the token ends") {
					t.Errorf("error %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			now := e.Now(emulator.Entra)
			// The answer was given between one second before and now, and times are cut to the second.
			if end := now.Add(tc.want); got.Ends.After(end) || got.Ends.Before(end.Add(-time.Minute)) {
				t.Errorf("ends %s, want %s", got.Ends, end)
			}
			if d := got.Left - tc.want; d > time.Second || d < -time.Minute {
				t.Errorf("%s are left, want %s", got.Left, tc.want)
			}
			if tc.answer["access_token"] == nil && got.Principal != emulator.AppPrincipalID {
				t.Errorf("principal %q", got.Principal)
			}
			if !l.has("identity: service principal of application "+emulator.AppID) || !l.has("assertion: from GitHub Actions") {
				t.Errorf("log %q", l.lines)
			}
			if n := len(e.Requests()); n != 2 || e.Connections(emulator.AzureDevOps) != 0 {
				t.Errorf("%d requests, want 2, and %d connections to Azure DevOps, want none", n, e.Connections(emulator.AzureDevOps))
			}
		})
	}
}
