package emulator_test

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"azdo-pat/internal/fakes/emulator"
)

func TestCreate(t *testing.T) {
	t.Parallel()
	c := start(t)
	got := c.create(map[string]any{"scope": "vso.packaging vso.code", "validTo": "2026-11-20T13:00:00.319Z"})
	token, _ := got["token"].(string)
	if !regexp.MustCompile(`^[A-Za-z0-9]{76}AZDO[A-Za-z0-9]{4}$`).MatchString(token) {
		t.Errorf("token %q is not of Azure DevOps' form", token)
	}
	want := map[string]any{
		"authorizationId": got["authorizationId"], "token": token, "displayName": "a token",
		"scope": "vso.code vso.packaging", "targetAccounts": []any{emulator.OrganizationID},
		"validFrom": "2026-11-20T12:00:00Z", "validTo": "2026-11-20T13:00:00.32Z",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	wantKept := []emulator.PAT{{
		ID: got["authorizationId"].(string), Name: "a token", Scope: "vso.code vso.packaging", Token: token,
		ValidFrom:      time.Date(2026, 11, 20, 12, 0, 0, 0, time.UTC),
		ValidTo:        time.Date(2026, 11, 20, 13, 0, 0, 320e6, time.UTC),
		TargetAccounts: []string{emulator.OrganizationID}, Owner: emulator.ServiceUserID, Organization: "contoso",
	}}
	if diff := cmp.Diff(wantKept, c.e.Active()); diff != "" {
		t.Error(diff)
	}
	if !strings.Contains(strings.Join(c.e.Secrets(), "\n"), token) {
		t.Error("the PAT is not among the secrets")
	}
}

func TestCreateFails(t *testing.T) {
	t.Parallel()
	policy := func(f func(*emulator.Policies)) func(*emulator.State) {
		return func(w *emulator.State) { f(&w.Organization("contoso").Policies) }
	}
	for name, test := range map[string]struct {
		edits  map[string]any
		change func(*emulator.State)
		reason string
	}{
		"no name":                {map[string]any{"displayName": nil}, nil, "displayNameRequired"},
		"blank name":             {map[string]any{"displayName": " "}, nil, "displayNameRequired"},
		"line break in the name": {map[string]any{"displayName": "a\nb"}, nil, "invalidDisplayName"},
		"name of 256":            {map[string]any{"displayName": strings.Repeat("é", 256)}, nil, "invalidDisplayName"},
		"no scope":               {map[string]any{"scope": nil}, nil, "invalidScope"},
		"unknown scope":          {map[string]any{"scope": "vso.code vso.coffee"}, nil, "invalidScope"},
		"scope without prefix":   {map[string]any{"scope": "code"}, nil, "invalidScope"},
		"scopes with a comma":    {map[string]any{"scope": "vso.code,vso.build"}, nil, "invalidScope"},
		"scopes with two spaces": {map[string]any{"scope": "vso.code  vso.build"}, nil, "invalidScope"},
		"no end":                 {map[string]any{"validTo": nil}, nil, "invalidValidTo"},
		"end now":                {map[string]any{"validTo": "2026-11-20T12:00:00Z"}, nil, "invalidValidTo"},
		"end in over a year":     {map[string]any{"validTo": "2027-11-20T12:00:01Z"}, nil, "invalidValidTo"},
		"end that is no time":    {map[string]any{"validTo": "tomorrow"}, nil, "invalidValidTo"},
		"all organizations":      {map[string]any{"allOrgs": true}, nil, "globalPATCreationBlocked"},
		"lifetime policy": {nil, policy(func(p *emulator.Policies) {
			p.MaxLifetime, p.RefuseLongLived = 30*time.Minute, true
		}), "patLifespanPolicyViolation"},
		"full scope policy": {map[string]any{"scope": "app_token"}, policy(func(p *emulator.Policies) {
			p.RestrictFullScope = true
		}), "fullScopePatPolicyViolation"},
		"creation policy": {nil, policy(func(p *emulator.Policies) {
			p.RestrictCreation = true
		}), "disablePatCreationPolicyViolation"},
		"creation policy, packaging and more": {map[string]any{"scope": "vso.packaging vso.code"}, policy(func(p *emulator.Policies) {
			p.RestrictCreation, p.AllowPackaging = true, true
		}), "disablePatCreationPolicyViolation"},
		"creation policy, another on the list": {nil, policy(func(p *emulator.Policies) {
			p.RestrictCreation, p.AllowList = true, []string{emulator.AgentUserID}
		}), "disablePatCreationPolicyViolation"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			if test.change != nil {
				c.e.Change(test.change)
			}
			c.failed(c.pats("POST", "", body(test.edits)), test.reason)
			if got := c.e.PATs(); len(got) != 0 {
				t.Errorf("the refused request created a PAT: %v", got)
			}
		})
	}
}

func TestCreateWithinPolicies(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		edits    map[string]any
		policies emulator.Policies
		validTo  string
	}{
		"lifetime cut short": {nil, emulator.Policies{MaxLifetime: 30 * time.Minute}, "2026-11-20T12:30:00Z"},
		"lifetime not reached": {nil, emulator.Policies{MaxLifetime: time.Hour, RefuseLongLived: true},
			"2026-11-20T13:00:00Z"},
		"packaging exception": {map[string]any{"scope": "vso.packaging_write"},
			emulator.Policies{RestrictCreation: true, AllowPackaging: true}, "2026-11-20T13:00:00Z"},
		"allow-list": {nil, emulator.Policies{RestrictCreation: true, AllowList: []string{emulator.ServiceUserID}},
			"2026-11-20T13:00:00Z"},
		"full scope, unrestricted": {map[string]any{"scope": "app_token"}, emulator.Policies{}, "2026-11-20T13:00:00Z"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			c.e.Change(func(w *emulator.State) { w.Organization("contoso").Policies = test.policies })
			if got := c.create(test.edits)["validTo"]; got != test.validTo {
				t.Errorf("validTo %v, want %v", got, test.validTo)
			}
		})
	}
}

func TestUpdate(t *testing.T) {
	t.Parallel()
	c := start(t)
	id := c.create(nil)["authorizationId"].(string)
	update := func(edits string) answer {
		t.Helper()
		return c.pats("PUT", "", `{"authorizationId":"`+id+`"`+edits+`}`)
	}
	a := update(`,"validTo":"2026-11-20T14:00:00Z"`)
	pat, _ := a.JSON["patToken"].(map[string]any)
	if a.Status != 200 || pat["validTo"] != "2026-11-20T14:00:00Z" || pat["displayName"] != "a token" || pat["token"] != nil {
		t.Fatalf("update: %d %s", a.Status, a.Text)
	}
	if got := c.e.PATs()[0].ValidTo; !got.Equal(time.Date(2026, 11, 20, 14, 0, 0, 0, time.UTC)) {
		t.Errorf("the PAT ends %v, want 14:00", got)
	}

	c.failed(update(`,"allOrgs":true`), "globalPATCreationBlocked")
	c.failed(update(`,"validTo":"2026-11-20T11:00:00Z"`), "invalidValidTo")
	c.e.Change(func(w *emulator.State) {
		w.Organization("contoso").Policies = emulator.Policies{MaxLifetime: 3 * time.Hour, RefuseLongLived: true}
	})
	c.failed(update(`,"validTo":"2026-11-20T15:00:01Z"`), "patLifespanPolicyViolation")
	c.e.Change(func(w *emulator.State) {
		w.Organization("contoso").Policies = emulator.Policies{RestrictCreation: true}
	})
	if a := update(`,"displayName":"b"`); a.JSON["patTokenError"] != "none" {
		t.Errorf("an update under a policy against creating: %s", a.Text)
	}
	c.e.Advance(2 * time.Hour)
	c.failed(update(`,"validTo":"2026-11-20T15:00:00Z"`), "expiredPatCannotBeExtended")

	id = "00000000-dead-4000-8000-000000000000"
	c.failed(update(""), "tokenNotFound")
	id = "x"
	c.failed(update(""), "invalidAuthorizationId")
}

func TestGet(t *testing.T) {
	t.Parallel()
	c := start(t)
	created := c.create(nil)
	a := c.pats("GET", "&authorizationId="+created["authorizationId"].(string), "")
	created["token"] = nil // it is shown once
	if diff := cmp.Diff(map[string]any{"patToken": created, "patTokenError": "none"}, a.JSON); diff != "" {
		t.Error(diff)
	}
	c.failed(c.pats("GET", "&authorizationId=00000000-dead-4000-8000-000000000000", ""), "tokenNotFound")

	another := c.e.Seed(emulator.PAT{Owner: emulator.AgentUserID})
	c.failed(c.pats("GET", "&authorizationId="+another.ID, ""), "tokenNotFound")
}

func TestRevoke(t *testing.T) {
	t.Parallel()
	c := start(t)
	id := c.create(nil)["authorizationId"].(string)
	if a := c.pats("DELETE", "&authorizationId="+id, ""); a.Status != 204 || a.Text != "" {
		t.Fatalf("revoke: %d %s", a.Status, a.Text)
	}
	if len(c.e.Active()) != 0 || !c.e.PATs()[0].Revoked {
		t.Errorf("the PAT is not revoked: %v", c.e.PATs())
	}
	c.failed(c.pats("PUT", "", `{"authorizationId":"`+id+`","displayName":"x"}`), "tokenNotFound")
}

func TestRevokeWhatIsGone(t *testing.T) {
	t.Parallel()
	c := start(t)
	revoked := c.e.Seed(emulator.PAT{Owner: emulator.ServiceUserID, Revoked: true}).ID
	another := c.e.Seed(emulator.PAT{Owner: emulator.AgentUserID}).ID
	for _, id := range []string{revoked, another, "00000000-dead-4000-8000-000000000000"} {
		for gone, check := range map[emulator.GoneAnswer]func(answer) bool{
			emulator.GoneNotFound:              func(a answer) bool { return a.Status == 404 && a.JSON["typeKey"] != nil },
			emulator.GoneTokenNotFound:         func(a answer) bool { return a.Status == 200 && a.JSON["patTokenError"] == "tokenNotFound" },
			emulator.GoneAuthorizationNotFound: func(a answer) bool { return a.Status == 200 && a.JSON["patTokenError"] == "authorizationNotFound" },
			emulator.GoneNoContent:             func(a answer) bool { return a.Status == 204 },
		} {
			c.e.Change(func(w *emulator.State) { w.Organization("contoso").Revoked = gone })
			if a := c.pats("DELETE", "&authorizationId="+id, ""); !check(a) {
				t.Errorf("%s, answer %d: got %d %s", id, gone, a.Status, a.Text)
			}
		}
	}
	if len(c.e.Active()) != 1 {
		t.Error("another user's PAT has been revoked")
	}
}

func TestPATRequestRefused(t *testing.T) {
	t.Parallel()
	const jsonType, version = "application/json", "?api-version=7.1-preview.1"
	for name, test := range map[string]struct{ method, query, contentType, body, typeKey string }{
		"no version":             {"GET", "", "", "", "VssVersionNotSpecifiedException"},
		"version in the header":  {"GET", "", "application/json;api-version=7.1-preview.1", "", "VssVersionNotSpecifiedException"},
		"version not of preview": {"GET", "?api-version=7.1", "", "", "VssInvalidPreviewVersionException"},
		"version too old":        {"GET", "?api-version=6.1-preview", "", "", "VssVersionOutOfRangeException"},
		"version twice":          {"GET", version + "&api-version=7.1-preview.1", "", "", "VssVersionNotSpecifiedException"},
		"create of a form":       {"POST", version, "application/x-www-form-urlencoded", body(nil), "VssRequestContentTypeNotSupportedException"},
		"create of no JSON":      {"POST", version, jsonType, "displayName=x", "ArgumentException"},
		"create of null":         {"POST", version, jsonType, "null", "ArgumentException"},
		"create of two":          {"POST", version, jsonType, body(nil) + body(nil), "ArgumentException"},
		"create with an id":      {"POST", version, jsonType, body(map[string]any{"authorizationId": emulator.AppID}), "ArgumentException"},
		"create, field unknown":  {"POST", version, jsonType, body(map[string]any{"name": "x"}), "ArgumentException"},
		"create, allOrgs a text": {"POST", version, jsonType, body(map[string]any{"allOrgs": "false"}), "ArgumentException"},
		"revoke without an id":   {"DELETE", version, "", "", "ArgumentException"},
		"revoke with no GUID":    {"DELETE", version + "&authorizationId=x", "", "", "ArgumentException"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := start(t)
			a := c.send(test.method, c.e.URL(emulator.AzureDevOps)+"/contoso/_apis/tokens/pats"+test.query, test.body,
				"Authorization", "Bearer "+c.e.AccessToken(), "Content-Type", test.contentType)
			if a.Status != 400 || a.JSON["typeKey"] != test.typeKey || a.JSON["message"] == "" {
				t.Errorf("got %d %s, want 400 %s", a.Status, a.Text, test.typeKey)
			}
			if got := c.e.Requests()[0].Refusal; got != test.typeKey {
				t.Errorf("recorded %q", got)
			}
		})
	}
}

func TestVersion72(t *testing.T) {
	t.Parallel()
	c := start(t)
	target := strings.Replace(c.patsURL(""), "7.1", "7.2", 1)
	a := c.send("POST", target, body(map[string]any{"scope": nil}), "Authorization", "Bearer "+c.e.AccessToken(), "Content-Type", "application/json")
	c.failed(a, "invalidScope")
	if a.JSON["patTokenErrorMessage"] == nil {
		t.Errorf("7.2 has a message, got %s", a.Text)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	c := start(t)
	c.e.Seed(emulator.PAT{})
	c.e.Advance(time.Hour - time.Nanosecond)
	if len(c.e.Active()) != 1 {
		t.Error("the PAT is expired too early")
	}
	c.e.Advance(time.Nanosecond)
	if len(c.e.Active()) != 0 || c.e.PATs()[0].Revoked {
		t.Errorf("the PAT is not simply expired: %v", c.e.PATs())
	}
}
