package entra

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"azdo-pat/internal/hint"
	"azdo-pat/internal/httpclient"
)

func TestTenant(t *testing.T) {
	t.Parallel()
	const (
		authenticate = "WWW-Authenticate"
		resource     = "X-Vss-Resourcetenant"
		zeros        = "00000000-0000-0000-0000-000000000000"
		upper        = "AAAAAAAA-BBBB-CCCC-DDDD-EEEEEEEEEEEE"
		other        = "99999999-2222-3333-4444-555555555555"
	)
	uri := func(tenant string) string {
		return "Bearer authorization_uri=https://login.microsoftonline.com/" + tenant
	}
	client, err := httpclient.NewClient(httpclient.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdleConnections)
	for _, tc := range []struct {
		name    string
		status  int
		header  http.Header
		want    string
		err     string // a part of it
		hint    string // a part of it
		passing bool
		wait    time.Duration
	}{
		{name: "as documented", status: 401, header: http.Header{authenticate: {uri(tenantID)}, resource: {tenantID}}, want: tenantID},
		{name: "the challenge alone", status: 401, header: http.Header{authenticate: {uri(tenantID)}}, want: tenantID},
		{name: "the header alone", status: 401, header: http.Header{resource: {tenantID}}, want: tenantID},
		{name: "in quotes", status: 401, header: http.Header{authenticate: {`Bearer authorization_uri="https://login.microsoftonline.com/` + tenantID + `"`}}, want: tenantID},
		{name: "among others", status: 401, header: http.Header{authenticate: {"Basic realm=x", uri(tenantID) + ", Basic realm=y", "NTLM"}}, want: tenantID},
		{name: "in one line with others", status: 401, header: http.Header{authenticate: {`Basic realm="a", ` + uri(tenantID) + `, TFS-Federated`}}, want: tenantID},
		{name: "a slash at the end", status: 401, header: http.Header{authenticate: {uri(tenantID + "/")}}, want: tenantID},
		{name: "in capitals", status: 401, header: http.Header{authenticate: {strings.ToUpper(uri(upper))}}, want: strings.ToLower(upper)},
		{name: "the header in capitals", status: 401, header: http.Header{resource: {upper}}, want: strings.ToLower(upper)},
		{name: "with another status", status: 200, header: http.Header{resource: {tenantID}}, want: tenantID},
		{name: "of a redirect", status: 302, header: http.Header{resource: {tenantID}, "Location": {"https://sign-in.test/"}}, want: tenantID},
		{name: "a redirect to Entra's sign-in", status: 302, header: http.Header{"Location": {"https://login.microsoftonline.com/" + tenantID + "/oauth2/authorize?client_id=x"}}, want: tenantID},
		{name: "a redirect to Entra's sign-in, v2.0", status: 303, header: http.Header{"Location": {"https://login.microsoftonline.us/" + upper + "/oauth2/v2.0/authorize"}}, want: strings.ToLower(upper)},
		{name: "a redirect on this machine", status: 302, header: http.Header{"Location": {"http://127.0.0.1:8080/" + tenantID + "/oauth2/authorize"}}, want: tenantID},
		{name: "the header wins over a redirect", status: 302, header: http.Header{resource: {tenantID}, "Location": {"https://login.microsoftonline.com/" + other + "/oauth2/authorize"}}, want: tenantID},
		{name: "the challenge wins", status: 401, header: http.Header{authenticate: {uri(tenantID)}, resource: {other}}, want: tenantID},
		{name: "no tenant in the challenge", status: 401, header: http.Header{authenticate: {uri("common")}, resource: {tenantID}}, want: tenantID},
		{name: "of two the first", status: 401, header: http.Header{resource: {tenantID, other}}, want: tenantID},

		{name: "of a list the first", status: 401, header: http.Header{resource: {tenantID + ", " + other}}, want: tenantID},
		{name: "spaces", status: 401, header: http.Header{resource: {"  " + tenantID + "\t"}}, want: tenantID},
		{name: "zeros beside it", status: 401, header: http.Header{resource: {zeros, tenantID}}, want: tenantID},
		{name: "zeros beside it in a list", status: 401, header: http.Header{resource: {zeros + "," + tenantID}}, want: tenantID},
		{name: "zeros in the challenge, and a tenant", status: 401, header: http.Header{authenticate: {uri(zeros)}, resource: {tenantID}}, want: tenantID},
		{name: "zeros in the header, and a tenant", status: 401, header: http.Header{authenticate: {uri(tenantID)}, resource: {zeros}}, want: tenantID},
		{name: "two challenges", status: 401, header: http.Header{authenticate: {uri(zeros) + ", " + uri(tenantID)}}, want: tenantID},
		{name: "two challenges in two lines", status: 401, header: http.Header{authenticate: {"TFS-Federated", uri("common"), uri(zeros), uri(tenantID)}}, want: tenantID},
		{name: "an endpoint", status: 401, header: http.Header{authenticate: {uri(tenantID + "/oauth2/authorize")}}, want: tenantID},
		{name: "an endpoint of v2.0, in quotes", status: 401, header: http.Header{authenticate: {`Bearer realm="", authorization_uri="https://login.microsoftonline.com/` + tenantID + `/oauth2/v2.0/authorize?x=y", error="invalid_token"`}}, want: tenantID},
		{name: "spaces in the challenge", status: 401, header: http.Header{authenticate: {`Bearer  authorization_uri = " https://login.microsoftonline.com/` + tenantID + ` "`}}, want: tenantID},
		{name: "as other services call it", status: 401, header: http.Header{authenticate: {`Bearer authorization="https://login.windows.net/` + tenantID + `", resource="x"`}}, want: tenantID},

		{name: "misspelt, with zeros", status: 404, header: http.Header{resource: {zeros}}, err: "there is no organization contoso", hint: "check organization"},
		{name: "misspelt, in words", status: 401, header: http.Header{resource: {zeros}, "X-Tfs-Serviceerror": {"The+organization+contoso+does+not+exist."}}, err: "there is no organization contoso", hint: "check organization"},
		{name: "no tenant in a 200", status: 200, err: "answered 200 OK: the answer names no tenant", hint: "set tenant-id", passing: true},
		{name: "Conditional Access", status: 403, header: http.Header{"X-Tfs-Serviceerror": {"VS403463%3A+no"}}, err: "answered 403 Forbidden: VS403463: no", hint: "a Conditional Access policy"},
		{name: "a support id", status: 404, header: http.Header{"X-Vss-E2eid": {other}}, err: "there is no organization contoso (X-VSS-E2EID " + other + ")", hint: "check organization"},
		{name: "zeros with a status that passes", status: 503, header: http.Header{resource: {zeros}}, err: "names no tenant", hint: "tenant-id", passing: true},
		{name: "zeros", status: 401, header: http.Header{resource: {zeros}}, err: "is in no Entra tenant", hint: "connect the organization"},
		{name: "zeros in the challenge", status: 401, header: http.Header{authenticate: {uri(zeros)}}, err: "is in no Entra tenant", hint: "connect the organization"},
		{name: "no such organization", status: 404, err: "answered 404 Not Found: there is no organization contoso", hint: "check organization"},
		{name: "nothing", status: 401, err: "answered 401 Unauthorized: the answer names no tenant", hint: "set tenant-id"},
		{name: "a redirect", status: 302, header: http.Header{"Location": {"https://sign-in.test/_signin?realm=secret"}}, err: "a redirect to sign-in.test, which", hint: "check the host"},
		{name: "a redirect to everybody's sign-in", status: 302, header: http.Header{"Location": {"https://login.microsoftonline.com/common/oauth2/authorize"}}, err: "answered 302 Found: a redirect to login.microsoftonline.com, which is not followed", hint: "check the host"},
		{name: "a redirect to another page", status: 302, header: http.Header{"Location": {"https://login.microsoftonline.com/" + tenantID + "/x/oauth2/authorize"}}, err: "which is not followed", hint: "check the host"},
		{name: "a redirect without TLS", status: 302, header: http.Header{"Location": {"http://login.microsoftonline.com/" + tenantID + "/oauth2/authorize"}}, err: "which is not followed", hint: "check the host"},
		{name: "a redirect to nowhere", status: 302, header: http.Header{"Location": {"https://login.microsoftonline.com/" + zeros + "/oauth2/authorize"}}, err: "is in no Entra tenant", hint: "connect the organization"},
		{name: "a sign-in that is no redirect", status: 401, header: http.Header{"Location": {"https://login.microsoftonline.com/" + tenantID + "/oauth2/authorize"}}, err: "names no tenant", hint: "tenant-id"},
		{name: "busy", status: 503, header: http.Header{"Retry-After": {"5"}}, err: "answered 503", hint: "tenant-id", passing: true, wait: 5 * time.Second},
		{name: "throttled", status: 429, err: "answered 429", hint: "tenant-id", passing: true},

		{name: "hostile: a path", status: 401, header: http.Header{resource: {"../../evil"}}, err: "names no tenant", hint: "tenant-id"},
		{name: "hostile: a domain", status: 401, header: http.Header{authenticate: {uri("evil.test")}}, err: "names no tenant", hint: "tenant-id"},
		{name: "hostile: more behind it", status: 401, header: http.Header{resource: {tenantID + "/../../evil"}}, err: "names no tenant", hint: "tenant-id"},
		{name: "hostile: more before it", status: 401, header: http.Header{resource: {"x" + tenantID}}, err: "names no tenant", hint: "tenant-id"},
		{name: "hostile: a list without a comma", status: 401, header: http.Header{resource: {tenantID + "|" + other}}, err: "names no tenant", hint: "tenant-id"},
		{name: "hostile: a query", status: 401, header: http.Header{authenticate: {uri("?t=" + tenantID)}}, err: "names no tenant", hint: "tenant-id"},
		{name: "hostile: no address", status: 401, header: http.Header{authenticate: {"Bearer authorization_uri=http://[::1/" + tenantID}}, err: "names no tenant", hint: "tenant-id"},
		{name: "hostile: another parameter", status: 401, header: http.Header{authenticate: {"Bearer xauthorization_uri=https://x/" + tenantID}}, err: "names no tenant", hint: "tenant-id"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var requests atomic.Int32
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				requests.Add(1)
				if r.Method != http.MethodGet || r.URL.String() != "/contoso" || r.Header.Get("X-TFS-FedAuthRedirect") != "Suppress" || r.Header["Authorization"] != nil {
					t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
				}
				for name, values := range tc.header {
					w.Header()[name] = values
				}
				w.WriteHeader(tc.status)
				io.WriteString(w, "<h1>a page</h1>")
			}))
			defer server.Close()
			o := &Organization{HTTP: client, BaseURL: server.URL, Name: "contoso"}
			got, err := o.Tenant(t.Context())
			if got != tc.want || (err == nil) != (tc.err == "") {
				t.Errorf("tenant %q, %v; want %q", got, err, tc.want)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("%d requests", n)
			}
			if err == nil {
				return
			}
			if !strings.HasPrefix(err.Error(), "ask the organization for its tenant: ") || !strings.Contains(err.Error(), tc.err) || strings.Contains(err.Error(), "secret") || strings.Contains(err.Error(), "credential") {
				t.Errorf("error %q, want %q in it", err, tc.err)
			}
			if h := hint.Of(err); !strings.Contains(h, tc.hint) {
				t.Errorf("hint %q, want %q in it", h, tc.hint)
			}
			if passing, wait := httpclient.Retryable(err); passing != tc.passing || wait != tc.wait {
				t.Errorf("passing %t after %s", passing, wait)
			}
			if got, want := errors.Is(err, ErrNoTenant), strings.Contains(tc.err, "in no Entra tenant") || strings.Contains(tc.err, "there is no organization"); got != want {
				t.Errorf("nowhere: %t, want %t", got, want)
			}
		})
	}
}

func TestTenantWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	o := &Organization{HTTP: http.DefaultClient, BaseURL: server.URL, Name: "contoso"}
	_, err := o.Tenant(t.Context())
	if passing, _ := httpclient.Retryable(err); err == nil || !passing || !strings.Contains(err.Error(), "no answer from 127.0.0.1") {
		t.Errorf("error %v", err)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped by a signal")
	cancel(stopped)
	if _, err := o.Tenant(ctx); !errors.Is(err, stopped) {
		t.Errorf("error %v, want %v", err, stopped)
	}
	if _, err := (&Organization{HTTP: http.DefaultClient, BaseURL: "http://\x00", Name: "x"}).Tenant(t.Context()); err == nil {
		t.Error("an address that is none was asked")
	}
}

// A name with special characters stays in the path, and the error is one line.
func TestTenantOfAHostileName(t *testing.T) {
	t.Parallel()
	for status, header := range map[int]string{404: "", 401: "00000000-0000-0000-0000-000000000000"} {
		var path string
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			path = r.URL.EscapedPath()
			w.Header().Set("X-VSS-ResourceTenant", header)
			w.WriteHeader(status)
		}))
		name := "a/../b?c\n::error::" + strings.Repeat("d", 500)
		_, err := (&Organization{HTTP: http.DefaultClient, BaseURL: server.URL, Name: name}).Tenant(t.Context())
		server.Close()
		if strings.Count(path, "/") != 1 {
			t.Errorf("path %q", path)
		}
		if err == nil || strings.Contains(err.Error(), "\n") || len(err.Error()) > 300 {
			t.Errorf("error %q", fmt.Sprint(err))
		}
	}
}

// FuzzTenantOf checks that the tenant is a GUID or "".
func FuzzTenantOf(f *testing.F) {
	f.Add("Bearer authorization_uri=https://login.microsoftonline.com/"+tenantID, tenantID)
	f.Add(`Bearer authorization_uri="https://x/`+strings.ToUpper(tenantID)+`/?y"`, "")
	f.Add("authorization_uri=%zz", "../"+tenantID)
	f.Add("authorization_uri=//"+tenantID+" authorization_uri=/"+tenantID, " "+tenantID)
	f.Add(`Bearer authorization = "https://x/`+tenantID+`/oauth2/authorize"`, "00000000-0000-0000-0000-000000000000, "+tenantID)
	form := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`)
	f.Fuzz(func(t *testing.T, challenge, resource string) {
		got := tenantOf(http.Header{"Www-Authenticate": {challenge}, "X-Vss-Resourcetenant": {resource}})
		if got != "" && (!form.MatchString(got) || !strings.Contains(strings.ToLower(challenge+resource), got)) {
			t.Errorf("tenant %q", got)
		}
	})
}
