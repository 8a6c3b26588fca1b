package harness

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"azdo-pat/internal/fakes/emulator"
)

// world WHAT changes what the services know.
func change(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	w.Change(func(world *emulator.State) {
		org := world.Organization(emulator.OrganizationName)
		app := world.App(emulator.BlueprintID)
		user := world.User(emulator.ServiceUserID)
		switch args[0] {
		case "organization": // another one, of the same members
			other := *org
			other.Name, other.ID = args[1], "99999999-0000-4000-8000-000000000099"
			world.Organizations = append(world.Organizations, &other)
		case "notenant":
			org.Tenant = emulator.NoTenant
		case "cap":
			d, err := time.ParseDuration(args[1])
			ts.Check(err)
			org.Policies.MaxLifetime = d
		case "refuse":
			org.Policies.RefuseLongLived = true
		case "nocreation":
			org.Policies.RestrictCreation = true
		case "nofull":
			org.Policies.RestrictFullScope = true
		case "nomember":
			org.Members = nil
		case "subject":
			app.Credentials[0].Subject = args[1]
		case "expression": // a flexible credential
			app.Credentials[0].Subject, app.Credentials[0].Expression = "", args[1]
		case "audience":
			app.Credentials[0].Audience = args[1]
		case "nocredential":
			app.Credentials = nil
		case "noappcredential":
			world.App(emulator.AppID).Credentials = nil
		case "noconsent":
			world.App(emulator.AgentID).Consented = nil
		case "consent":
			for _, id := range []string{emulator.AgentID, emulator.AppID} {
				world.App(id).Consented = args[1:]
			}
		case "tenant":
			org.Tenant = args[1]
		case "mfa":
			user.MFARequired = true
		case "rotate":
			world.RotateRefreshTokens = true
		case "newissuer": // the service connection after "Update" on its page
			c := world.ServiceConnections[0]
			c.Issuer = w.URL(emulator.Entra) + "/" + world.TenantID + "/v2.0"
			c.Subject = "/eid1/c/pub/t/TENANT/a/AZUREDEVOPS/sc/ORGANIZATION/" + c.ID
			for _, app := range world.Apps {
				app.Credentials = append(app.Credentials, emulator.FederatedCredential{Name: "updated", Issuer: c.Issuer, Subject: c.Subject, Audience: emulator.Audience})
			}
		case "unreferenced":
			world.ServiceConnections[0].Unreferenced = true
		case "gone":
			n, err := strconv.Atoi(args[1])
			ts.Check(err)
			org.Revoked = emulator.GoneAnswer(n)
		case "redirect": // URI PLATFORM
			app := world.App(emulator.AppID)
			app.Redirects = append(app.Redirects, emulator.Redirect{URI: args[1], Platform: emulator.Platform(args[2])})
		case "reused":
			world.AllowReusedAssertions = true
		case "nooffline":
			world.App(emulator.AppID).NoOfflineAccess = true
		case "noappconsent":
			world.App(emulator.AppID).Consented = nil
		case "oldtoken":
			world.RefreshTokens[0].Revoked = true
		default:
			ts.Fatalf("no change %q", args[0])
		}
	})
}

// seed NAME… plants PATs; $SEEDED is the id of the last one.
func seed(ts *testscript.TestScript, neg bool, args []string) {
	for _, name := range args {
		ts.Setenv("SEEDED", of(ts).Seed(emulator.PAT{Name: name}).ID)
	}
}

// aged AGE NAME… plants PATs that were minted some time ago and live for a day.
func seedAged(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	age, err := time.ParseDuration(args[0])
	ts.Check(err)
	from := w.Now(emulator.AzureDevOps).Add(-age)
	for _, name := range args[1:] {
		w.Seed(emulator.PAT{Name: name, ValidFrom: from, ValidTo: from.Add(24 * time.Hour)})
	}
}

// lasting AGE LEFT NAME… plants PATs that were minted some time ago and are valid for some
// more. LEFT can be a whole number of days; $SEEDED is the id of the last one.
func seedLasting(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	span := func(text string) time.Duration {
		if days, ok := strings.CutSuffix(text, "d"); ok {
			n, err := strconv.Atoi(days)
			ts.Check(err)
			return time.Duration(n) * 24 * time.Hour
		}
		d, err := time.ParseDuration(text)
		ts.Check(err)
		return d
	}
	now := w.Now(emulator.AzureDevOps)
	for _, name := range args[2:] {
		ts.Setenv("SEEDED", w.Seed(emulator.PAT{Name: name, ValidFrom: now.Add(-span(args[0])), ValidTo: now.Add(span(args[1]))}).ID)
	}
}

// pat NAME [scope=SCOPES] [everywhere] plants a PAT with those scopes, for all
// organizations if everywhere; $SEEDED is its id.
func seedPAT(ts *testscript.TestScript, neg bool, args []string) {
	p := emulator.PAT{Name: args[0]}
	for _, arg := range args[1:] {
		if scope, ok := strings.CutPrefix(arg, "scope="); ok {
			p.Scope = scope
		} else if arg == "everywhere" {
			p.Organization = emulator.OrganizationName // without TargetAccounts: all
		} else {
			ts.Fatalf("pat: unknown %q", arg)
		}
	}
	ts.Setenv("SEEDED", of(ts).Seed(p).ID)
}

// everykind N plants N PATs of every kind, and their runs.
func seedEveryKind(ts *testscript.TestScript, neg bool, args []string) {
	n, err := strconv.Atoi(args[0])
	ts.Check(err)
	of(ts).SeedEveryKind(n)
}

// own revoked|expired|theirs makes a PAT of the agent user, or of another one, and
// sets it as the one to revoke.
func ownPAT(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	p := emulator.PAT{Name: "own"}
	switch args[0] {
	case "revoked":
		p.Revoked = true
	case "expired":
		p.ValidFrom = w.Now(emulator.AzureDevOps).Add(-2 * time.Hour)
	case "theirs":
		p.Owner = emulator.ServiceUserID
	}
	w.env["AZDO_PAT_AUTHORIZATION_ID"] = w.Seed(p).ID
}

// runs OWNER/REPO ID.ATTEMPT STATUS makes an attempt of a GitHub workflow run.
func seedRun(ts *testscript.TestScript, neg bool, args []string) {
	id, attempt, _ := strings.Cut(args[1], ".")
	n, err := strconv.Atoi(attempt)
	ts.Check(err)
	of(ts).Change(func(world *emulator.State) {
		world.Runs = append(world.Runs, &emulator.Run{Repository: args[0], ID: id, Attempt: n, Status: args[2]})
	})
}

// plant TEXT replaces the record that mint left in Azure Pipelines;
// DISPLAYNAME in it is the PAT's, and THEIRS the id of the PAT named "theirs".
func plant(ts *testscript.TestScript, neg bool, args []string) {
	w := of(ts)
	files, err := filepath.Glob(filepath.Join(w.agent.TempDirectory(), "azdo-pat-*.json"))
	ts.Check(err)
	if len(files) != 1 {
		ts.Fatalf("there are the records %q", files)
	}
	text := strings.ReplaceAll(args[0], "DISPLAYNAME", w.agent.Outputs("pat")["displayName"])
	for _, p := range w.PATs() {
		if p.Name == "theirs" {
			text = strings.ReplaceAll(text, "THEIRS", p.ID)
		}
	}
	ts.Check(os.WriteFile(files[0], []byte(text), 0o644))
}

// advance DURATION moves the services' clock.
func advance(ts *testscript.TestScript, neg bool, args []string) {
	d, err := time.ParseDuration(args[0])
	ts.Check(err)
	of(ts).Advance(d)
}
