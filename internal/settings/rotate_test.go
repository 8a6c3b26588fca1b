package settings

import (
	"strings"
	"testing"
	"time"
)

// byRotate is complete for rotate.
var byRotate = byAgent.with("AZDO_PAT_NAME", "sonarqube")

func rotating(pairs ...string) Source { return Source{LookupEnv: byRotate.with(pairs...).lookup} }

func TestRotateDefaults(t *testing.T) {
	t.Parallel()
	s := loaded(t, Rotate, rotating())
	if s.Name != "sonarqube" || s.Lifetime != 30*day || s.WhenLeft != 10*day || s.Overlap != 0 || strings.Join(s.Env, "") != "AZURE_DEVOPS_EXT_PAT" {
		t.Errorf("%q, lifetime %s, when-left %s, overlap %s, env %q", s.Name, s.Lifetime, s.WhenLeft, s.Overlap, s.Env)
	}
	if s := loaded(t, Rotate, rotating("AZDO_PAT_LIFETIME", "3d")); s.WhenLeft != day {
		t.Errorf("when-left is %s of 3d", s.WhenLeft)
	}
	// The lifetimes of the other commands stay as they are.
	if s := loaded(t, Mint, rotating()); s.Lifetime != time.Hour {
		t.Errorf("mint: %s", s.Lifetime)
	}
	only(t, problems(t, Exec, rotating("AZDO_PAT_LIFETIME", "30d")), `AZDO_PAT_LIFETIME: found "30d"; allowed: `+lifetimes)
}

func TestRotateBounds(t *testing.T) {
	t.Parallel()
	for _, lifetime := range []string{"1d", "24h", "365d", "8760h"} {
		loaded(t, Rotate, rotating("AZDO_PAT_LIFETIME", lifetime))
	}
	for _, lifetime := range []string{"23h59m59s", "5m", "366d", "8760h0m1s", "0", "1y"} {
		only(t, problems(t, Rotate, rotating("AZDO_PAT_LIFETIME", lifetime)),
			`AZDO_PAT_LIFETIME: found "`+lifetime+`"; allowed: a duration from 1d to 365d, such as 7d, 36h or 90d`)
	}
	for _, overlap := range []string{"0", "1s", "1h", "10d"} {
		loaded(t, Rotate, rotating("AZDO_PAT_OVERLAP", overlap))
	}
	for _, overlap := range []string{"11d", "240h1s", "365d"} {
		only(t, problems(t, Rotate, rotating("AZDO_PAT_OVERLAP", overlap)),
			`AZDO_PAT_OVERLAP: found "`+overlap+`"; allowed: a duration of at most when-left, 10d: the previous PAT lives no longer than that`)
	}
	// A when-left of the lifetime or more rotates each time.
	loaded(t, Rotate, rotating("AZDO_PAT_WHEN_LEFT", "30d", "AZDO_PAT_OVERLAP", "29d"))
	only(t, problems(t, Rotate, rotating("AZDO_PAT_WHEN_LEFT", "31d", "AZDO_PAT_OVERLAP", "30d")),
		`AZDO_PAT_OVERLAP: found "30d"; allowed: a duration shorter than lifetime, 30d`)
	only(t, problems(t, Rotate, rotating("AZDO_PAT_OVERLAP", "-1h")), `AZDO_PAT_OVERLAP: found "-1h"; allowed: `+ages)
}

func TestRotateName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"sonarqube", "a", ".", "Sonar-1.x_y", strings.Repeat("n", 60), "rotated", "0123456789abcdef"} {
		loaded(t, Rotate, rotating("AZDO_PAT_NAME", name))
	}
	for _, name := range []string{strings.Repeat("n", 61), "a b", "contoso/app", "sonär", "a:b", "a\u200bb", "##[x]", "::x::"} {
		problems(t, Rotate, rotating("AZDO_PAT_NAME", name))
	}
	only(t, problems(t, Rotate, rotating("AZDO_PAT_NAME", "a b")),
		`AZDO_PAT_NAME: found "a b"; allowed: 1 to 60 letters, digits, dots, underscores and hyphens, such as sonarqube`)
	only(t, problems(t, Rotate, rotating("AZDO_PAT_NAME", "")),
		`--name (or AZDO_PAT_NAME): not set; the name of the consumer that keeps the PAT, such as sonarqube, which all of its PATs share`)
	// Other commands take any label.
	loaded(t, Mint, rotating("AZDO_PAT_NAME", "a b"))
}

func TestRotateNeeds(t *testing.T) {
	t.Parallel()
	list := strings.Join(problems(t, Rotate, rotating("AZDO_PAT_NAME", "", "AZDO_PAT_SCOPES", "")), "\n")
	for _, want := range []string{"--scopes", "--name"} {
		if !strings.Contains(list, want) {
			t.Errorf("no %s in\n%s", want, list)
		}
	}
	only(t, problems(t, Rotate, rotating("AZDO_PAT_SCOPES", "app_token")),
		`AZDO_PAT_SCOPES: found "app_token"; allowed: scopes that start with vso.; app_token grants everything the user may do, and needs allow-full-access: true`)
	loaded(t, Rotate, rotating("AZDO_PAT_SCOPES", "app_token", "AZDO_PAT_ALLOW_FULL_ACCESS", "true"))
	only(t, problems(t, Rotate, rotating("AZDO_PAT_TOKEN_TYPE", "entra")),
		`AZDO_PAT_TOKEN_TYPE: found "entra"; allowed: pat, since rotate works with PATs only; an Entra token cannot be revoked`)
}
