package emulator

import (
	"fmt"
	"time"
)

// HostileNames are display names that a person, or a program, can give a PAT: logging
// commands, markup, imitations of azdo-pat's names, and characters that are not shown.
// Azure DevOps refuses control characters and names of more than 255 characters.
var HostileNames = []string{
	"::error title=x::y", "##[error]x", "##vso[task.setvariable variable=a]b", "::add-mask::a",
	"x|y`z`*<b>$(id)</b> [a](https://evil.example) @octocat #1", "</code><img src=x onerror=alert(1)>", "``` ~~~ | |",
	"azdo-pat", "azdo-pat octo/app run 1.1 build", "azdo-pat ../.. run 1.1 x 00000000000000a5", "Azdo-pat rotated sonar 0123456789abcdef",
	"azdo-pat rotated sonar 0123456789ABCDEF", "azdo-pat rotated  0123456789abcdef", "a\u202eb\u200bc\u2028d", "=HYPERLINK(\"https://evil.example\")",
	"\"}],\"complete\":true}", "über ß 🙂 名前",
}

// EveryKind is how many PATs of each kind [Emulator.SeedEveryKind] has seeded.
type EveryKind struct {
	FullAccess, AllOrganizations, Other, Rotated, Completed, Running, Terminal, LongLived int
}

// SeedEveryKind seeds n active PATs of the agent's user, as a busy account has them: leases
// of runs that have completed or not, leases of terminals, rotated PATs, and PATs that
// azdo-pat did not name, with full access, for all organizations, for a year, or with a
// hostile name. The runs are known to GitHub.
func (e *Emulator) SeedEveryKind(n int) (k EveryKind) {
	now := e.Now(AzureDevOps)
	for i := range n {
		p := PAT{Scope: "vso.code vso.packaging_write", ValidFrom: now.Add(-time.Hour), ValidTo: now.Add(time.Hour)}
		year := func() {
			p.ValidFrom, p.ValidTo = now.AddDate(0, 0, -100), now.AddDate(0, 0, 265)
			k.LongLived++
		}
		switch i % 10 {
		case 0, 1, 2:
			p.Name = fmt.Sprintf("azdo-pat contoso/widgets run %d.1 build %016x", 1000+i, i)
			e.run(1000+i, "completed")
			k.Completed++
		case 3, 4:
			p.Name = fmt.Sprintf("azdo-pat contoso/widgets run %d.1 build %016x", 1000+i, i)
			e.run(1000+i, "in_progress")
			k.Running++
		case 5:
			p.Name = fmt.Sprintf("azdo-pat laptop %016x", i)
			k.Terminal++
		case 6:
			p.Name, p.ValidFrom, p.ValidTo = fmt.Sprintf("azdo-pat rotated consumer-%d %016x", i, i), now.AddDate(0, 0, -10), now.AddDate(0, 0, 20)
			k.Rotated++
			k.LongLived++
		case 7:
			p.Name, p.Scope = fmt.Sprintf("full access %d", i), fullAccess
			year()
			k.FullAccess++
			k.Other++
		case 8:
			p.Name, p.Organization = fmt.Sprintf("everywhere %d", i), OrganizationName // no TargetAccounts: all
			year()
			k.AllOrganizations++
			k.Other++
		case 9:
			p.Name = HostileNames[i/10%len(HostileNames)]
			k.Other++
		}
		e.Seed(p)
	}
	return k
}

// run adds a workflow run of contoso/widgets.
func (e *Emulator) run(id int, status string) {
	e.Change(func(w *State) {
		w.Runs = append(w.Runs, &Run{Repository: "contoso/widgets", ID: fmt.Sprint(id), Attempt: 1, Status: status})
	})
}
