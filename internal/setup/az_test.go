package setup_test

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"azdo-pat/internal/fakes/azcli"
	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/standin"
	"azdo-pat/internal/keyvault"
	"azdo-pat/internal/setup"
)

// A console is one at which an administrator has signed in to the Azure CLI.
type console struct {
	*testing.T
	*emulator.Emulator
	home string
	env  []string
}

func signIn(t *testing.T, world func(*emulator.State)) *console {
	t.Helper()
	e, az := azcli.Start(t, emulator.Options{World: world})
	c := &console{T: t, Emulator: e, home: t.TempDir()}
	c.env = append(az.Env(), "PATH="+filepath.Join(c.home, "bin")+":"+os.Getenv("PATH"), "SETUP_PAUSE=0")
	return c
}

// A result is what a program wrote, and how it ended.
type result struct {
	stdout, stderr string
	err            error
}

func (c *console) run(stdin, name string, args ...string) result {
	c.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env, cmd.Dir, cmd.Stdin = c.env, c.home, strings.NewReader(stdin)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	return result{out.String(), errs.String(), err}
}

func (c *console) ok(r result) result {
	c.Helper()
	if r.err != nil {
		c.Fatalf("%v\n%s\n%s", r.err, r.stdout, r.stderr)
	}
	return r
}

// writes lists the requests since the n-th that change something.
func (c *console) writes(n int) (all []string) {
	for _, q := range c.Requests()[n:] {
		if q.Method != "GET" && q.Service != emulator.Entra {
			all = append(all, q.Method+" "+q.Op)
		}
	}
	return all
}

// gitHub puts a gh in the path that answers what the script asks, with the real jq.
func (c *console) gitHub(repository, subject string) {
	c.Helper()
	script := "#!/bin/sh\ncase $2 in\n*/customization/sub) answer='" + subject + "' ;;\n*) answer='" + repository + "' ;;\nesac\nprintf %s \"$answer\" | jq -r \"$4\"\n"
	file := filepath.Join(c.home, "bin", "gh")
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		c.Fatal(err)
	}
	standin.Write(c, file, script)
}

func bashOptions(e *emulator.Emulator, identity setup.Identity) setup.Options {
	o := optionsOf(e, identity)
	o.Format, o.Issuer, o.Subject, o.Repository = setup.Bash, "", "", "contoso/widgets"
	if identity == setup.ServiceAccount {
		o.Vault, o.Secret = emulator.VaultName, emulator.VaultSecret
	}
	return o
}

var clientID = regexp.MustCompile(`client-id: ([0-9a-f-]{36})`)

// Debian's Azure CLI carries out the scripts: what they create works, a second run
// changes nothing, and the scripts of --undo leave nothing.
func TestAzureCLI(t *testing.T) {
	t.Parallel()
	for _, identity := range []setup.Identity{setup.ServicePrincipal, setup.ServiceAccount} {
		t.Run(string(identity), func(t *testing.T) {
			t.Parallel()
			c := signIn(t, func(w *emulator.State) { w.ReplicationReads = 1 })
			c.gitHub(`{"full_name":"contoso/widgets","owner":{"id":1},"id":2,"default_branch":"main"}`, `{"use_default":true}`)
			o := bashOptions(c.Emulator, identity)
			before := census(c.Emulator)
			r := c.ok(c.run(setup.Script(o), "bash"))
			m := clientID.FindStringSubmatch(r.stdout)
			if m == nil || !strings.Contains(r.stdout, "tenant-id: "+emulator.TenantID) || !strings.Contains(r.stderr, "Done.") {
				t.Fatalf("%s\n%s", r.stdout, r.stderr)
			}
			c.Change(func(w *emulator.State) {
				var subjects []string
				for _, f := range w.App(m[1]).Credentials {
					subjects = append(subjects, f.Subject)
				}
				if want := []string{"repo:contoso/widgets:ref:refs/heads/main", "repo:contoso@1/widgets@2:ref:refs/heads/main"}; !slices.Equal(subjects, want) {
					t.Errorf("subjects %q, want %q", subjects, want)
				}
			})

			n := len(c.Requests())
			again := c.ok(c.run(setup.Script(o), "bash"))
			if w := c.writes(n); len(w) > 0 || again.stdout != r.stdout || !strings.Contains(again.stderr, "everything was there already") {
				t.Errorf("the second run: %q\n%s\n%s", w, again.stdout, again.stderr)
			}

			o.Undo = true
			c.ok(c.run(setup.Script(o), "bash"))
			if after := census(c.Emulator); !slices.Equal(after, before) {
				t.Errorf("left %q, want %q", after, before)
			}
			n = len(c.Requests())
			again = c.ok(c.run(setup.Script(o), "bash"))
			if w := c.writes(n); len(w) > 0 || !strings.Contains(again.stderr, "there was nothing to remove") {
				t.Errorf("the second undo: %q\n%s", w, again.stderr)
			}
		})
	}
}

// An application that was there before is trusted, and stays.
func TestAzureCLIWithAnApplication(t *testing.T) {
	t.Parallel()
	c := signIn(t, nil)
	c.gitHub(`{"full_name":"contoso/other","owner":{"id":1},"id":2,"default_branch":"main"}`, `{"use_default":true,"use_immutable_subject":true,"sub_claim_prefix":"repo:contoso@1/other@2"}`)
	o := bashOptions(c.Emulator, setup.ServicePrincipal)
	o.Client, o.Repository = emulator.AppID, "contoso/other"
	before := census(c.Emulator)
	c.ok(c.run(setup.Script(o), "bash"))
	if w := c.writes(0); !slices.Equal(w, []string{"POST graph.post.federatedIdentityCredentials"}) {
		t.Errorf("writes %q", w)
	}
	c.Change(func(w *emulator.State) {
		all := w.App(emulator.AppID).Credentials
		if got, want := all[len(all)-1].Subject, "repo:contoso@1/other@2:ref:refs/heads/main"; got != want {
			t.Errorf("the subject is %q, want %q", got, want)
		}
	})
	o.Undo = true
	c.ok(c.run(setup.Script(o), "bash"))
	if after := census(c.Emulator); !slices.Equal(after, before) {
		t.Errorf("left %q, want %q", after, before)
	}
}

// A service account that was there before keeps what it had: its account, its membership
// and the other scopes of its consent.
func TestAzureCLIWithAServiceAccount(t *testing.T) {
	t.Parallel()
	c := signIn(t, func(w *emulator.State) {
		w.App(emulator.AppID).Consented = nil
		w.Grants = []*emulator.Grant{{ID: "aGrant-of-before_1", Client: emulator.AppPrincipalID, Principal: emulator.ServiceUserID, Resource: emulator.AzureDevOpsPrincipalID, Scope: "vso.code vso.pats"}}
	})
	o := bashOptions(c.Emulator, setup.ServiceAccount)
	o.Client, o.Username = emulator.AppID, emulator.ServiceUserUPN
	o.Repository, o.Issuer, o.Subject = "", "https://token.actions.githubusercontent.com", "repo:contoso/other:environment:production"
	c.ok(c.run(setup.Script(o), "bash"))
	c.Change(func(w *emulator.State) {
		if got := w.Grants[0].Scope; got != "vso.code vso.pats vso.pats_manage" {
			t.Errorf("the scope is %q", got)
		}
	})
	n := len(c.Requests())
	c.ok(c.run(setup.Script(o), "bash"))
	if w := c.writes(n); len(w) > 0 {
		t.Errorf("the second run: %q", w)
	}
	o.Undo = true
	r := c.ok(c.run(setup.Script(o), "bash"))
	if n := strings.Count(r.stderr, "left alone"); n != 3 { // user, membership, application
		t.Errorf("%d left alone\n%s", n, r.stderr)
	}
	c.Change(func(w *emulator.State) {
		if w.User(emulator.ServiceUserID) == nil || w.App(emulator.AppID) == nil || w.Grants[0].Scope != "vso.code" ||
			!slices.Contains(w.Organization("contoso").Members, emulator.ServiceUserID) {
			t.Errorf("grants %+v\n%s", w.Grants[0], r.stderr)
		}
	})
}

// Who may not create something is told so at once, with the role that it needs.
func TestAzureCLIIsNotAllowed(t *testing.T) {
	t.Parallel()
	c := signIn(t, func(w *emulator.State) { w.User(emulator.AdminID).Roles = nil })
	r := c.run(setup.Script(bashOptions(c.Emulator, setup.ServiceAccount)), "bash")
	if r.err == nil || !strings.Contains(r.stderr, "Role needed to create it: User Administrator.") || !strings.HasSuffix(r.stderr, "Stopped: this was not allowed.\n") {
		t.Errorf("%v\n%s", r.err, r.stderr)
	}
	if n := len(c.Requests("graph.post.users")); n != 1 {
		t.Errorf("asked %d times", n)
	}

	// Neither is another tenant's administrator, nor a repository with its own subjects.
	o := bashOptions(c.Emulator, setup.ServicePrincipal)
	o.Tenant = "22222222-2222-4222-8222-222222222222"
	if r := c.run(setup.Script(o), "bash"); r.err == nil || !strings.HasSuffix(r.stderr, "Stopped: you are not signed in to the tenant "+o.Tenant+"\n") {
		t.Errorf("%v\n%s", r.err, r.stderr)
	}
	c.gitHub(`{"full_name":"contoso/widgets","owner":{"id":1},"id":2,"default_branch":"main"}`, `{"use_default":false,"include_claim_keys":["repo"]}`)
	if r := c.run(setup.Script(bashOptions(c.Emulator, setup.ServicePrincipal)), "bash"); r.err == nil || !strings.Contains(r.stderr, "a template of its own") {
		t.Errorf("%v\n%s", r.err, r.stderr)
	}
}

// Azure DevOps refuses a new member with 200.
func TestAzureCLIRefusedMember(t *testing.T) {
	t.Parallel()
	for failures, reason := range map[string]string{
		`[{"key":5000,"value":"no licence is left"}]`: "no licence is left",
		`[]`: "Azure DevOps gave no reason",
	} {
		t.Run(reason, func(t *testing.T) {
			t.Parallel()
			c := signIn(t, nil)
			c.gitHub(`{"full_name":"contoso/widgets","owner":{"id":1},"id":2,"default_branch":"main"}`, `{"use_default":true}`)
			c.Intercept(emulator.OpPrincipalEntitlements, func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				if r.Method != http.MethodPost {
					next.ServeHTTP(w, r)
					return
				}
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"isSuccess":false,"operationResult":{"isSuccess":false,"errors":`+failures+`}}`)
			})
			r := c.run(setup.Script(bashOptions(c.Emulator, setup.ServicePrincipal)), "bash")
			if r.err == nil || !strings.Contains(r.stderr, reason) || !strings.Contains(r.stderr, "Stopped: this did not succeed.") {
				t.Errorf("%v\n%s", r.err, r.stderr)
			}
		})
	}
}

// What Microsoft Graph refuses for good is not tried again.
func TestAzureCLIWrongRequest(t *testing.T) {
	t.Parallel()
	c := signIn(t, nil)
	o := bashOptions(c.Emulator, setup.ServiceAccount)
	o.Username = "azdo@not-ours.example"
	r := c.run(setup.Script(o), "bash")
	if r.err == nil || !strings.Contains(r.stderr, "Bad Request(") || strings.Contains(r.stderr, "Trying again") || !strings.Contains(r.stderr, "Stopped: this did not succeed.") {
		t.Errorf("%v\n%s", r.err, r.stderr)
	}
	if n := len(c.Requests("graph.post.users")); n != 1 {
		t.Errorf("asked %d times", n)
	}
}

// The commands that check and login propose do what the script does, as they are printed.
func TestAzureCLIAdvice(t *testing.T) {
	t.Parallel()
	c := signIn(t, func(w *emulator.State) {
		w.App(emulator.AppID).Credentials, w.App(emulator.AppID).Consented = nil, nil
		w.Organization("contoso").Members = []string{emulator.AdminID}
		w.RoleAssignments = slices.DeleteFunc(w.RoleAssignments, func(a *emulator.RoleAssignment) bool { return a.Principal == emulator.AppPrincipalID })
	})
	advised := func(a setup.Advice) {
		t.Helper()
		if a.PowerShell || a.Role == "" {
			t.Errorf("%+v", a)
		}
		c.ok(c.run("set -eu\n"+a.Commands, "bash"))
	}
	known := setup.Known{Application: emulator.AppID, User: emulator.ServiceUserUPN, Vault: emulator.VaultName}

	const subject = "repo:contoso/widgets:environment:a'b$(id)`x`!"
	advised(setup.AdviseCredential(known, "https://token.actions.githubusercontent.com", subject, emulator.Audience))
	advised(setup.AdviseConsent(known))
	c.Change(func(w *emulator.State) { // with one beside it that v1.0 of Microsoft Graph does not know
		a := w.App(emulator.AppID)
		a.Credentials = append(a.Credentials, emulator.FederatedCredential{Name: "flexible", Issuer: c.GitHubIssuer(), Audience: emulator.Audience,
			Expression: "claims['sub'] matches 'repo:contoso*'"})
	})
	advised(setup.AdviseCredential(known, "https://token.actions.githubusercontent.com", "repo:contoso/widgets:pull_request", emulator.Audience))
	c.Change(func(w *emulator.State) {
		if n := len(w.App(emulator.AppID).Credentials); n != 3 {
			t.Errorf("%d credentials", n)
		}
		w.App(emulator.AppID).Credentials = w.App(emulator.AppID).Credentials[:1]
		if all := w.App(emulator.AppID).Credentials; len(all) != 1 || all[0].Subject != subject {
			t.Errorf("credentials %+v", all)
		}
		if len(w.Grants) != 1 || w.Grants[0].Scope != "vso.pats vso.pats_manage" || w.Grants[0].Principal != emulator.ServiceUserID {
			t.Fatalf("grants %+v", w.Grants)
		}
		w.Grants[0].Scope = "vso.code vso.pats"
	})
	byID := known
	byID.User = emulator.ServiceUserID
	advised(setup.AdviseScopes(byID, "vso.pats_manage"))
	advised(setup.AdviseMembership(known, "contoso"))
	advised(setup.AdvisePrincipalMembership(known, "contoso"))
	advised(setup.AdviseVaultRole(known, keyvault.RoleRead, emulator.VaultSecret))
	known.Principal = emulator.AppPrincipalID
	advised(setup.AdviseVaultRole(known, keyvault.RoleWrite, emulator.VaultSecret))
	c.Change(func(w *emulator.State) {
		if w.Grants[0].Scope != "vso.code vso.pats vso.pats_manage" {
			t.Errorf("the scope is %q", w.Grants[0].Scope)
		}
		if got, want := w.Organization("contoso").Members, []string{emulator.AdminID, emulator.ServiceUserID, emulator.AppPrincipalID}; !slices.Equal(got, want) {
			t.Errorf("members %q, want %q", got, want)
		}
		var roles []string
		for _, a := range w.RoleAssignments {
			if a.Principal == emulator.AppPrincipalID && strings.HasSuffix(a.Scope, "/vaults/"+emulator.VaultName+"/secrets/"+emulator.VaultSecret) {
				roles = append(roles, a.Role)
			}
		}
		if want := []string{keyvault.RoleRead, keyvault.RoleWrite}; !slices.Equal(roles, want) {
			t.Errorf("roles %q, want %q", roles, want)
		}
	})
}
