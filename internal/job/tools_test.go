package job

import (
	"bytes"
	"crypto/rand"
	"os"
	"strings"
	"testing"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/settings"
)

// The agent stops the shell of a cancelled step, and not mint. If revoke has begun
// meanwhile, and so has looked for files, mint leaves none and sets no variable.
func TestToolsOfAnOutlivedMint(t *testing.T) {
	t.Parallel()
	for name, revoked := range map[string]bool{"revoke has begun": true, "it has not": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			temp := t.TempDir()
			env := map[string]string{"TF_BUILD": "True", "AGENT_TEMPDIRECTORY": temp, "SYSTEM_JOBID": "1"}
			lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
			var out bytes.Buffer
			p := ci.NewAzurePipelines(ci.Options{LookupEnv: lookup, Stdout: &out, Stderr: &out, Random: rand.Reader})
			j := &Job{Settings: &settings.Settings{Organization: "contoso", Configure: []string{"git"}}, Platform: p, Random: rand.Reader}
			origin := p.Origin("")
			if err := p.Prepare(origin); err != nil {
				t.Fatal(err)
			}
			tools, err := j.prepareTools(origin.Key)
			if err != nil {
				t.Fatal(err)
			}
			record := lease.Record{Stage: lease.Minted, Name: origin.DisplayName(), ID: "1"}
			if err := p.Record(record.String()); err != nil {
				t.Fatal(err)
			}
			if revoked {
				other := ci.NewAzurePipelines(ci.Options{LookupEnv: lookup, Stdout: &out, Stderr: &out, Random: rand.Reader})
				other.Close(origin, "closed")
				other.Closed("closed")
			}
			err = tools.handOver(p, secret.New("pat1234567890"), record, ci.Result{})
			folders := 0
			entries, _ := os.ReadDir(temp)
			for _, e := range entries {
				if e.IsDir() {
					folders++
				}
			}
			if set := strings.Contains(out.String(), "GIT_CONFIG_COUNT"); (err != nil) != revoked || set == revoked || (folders == 0) != revoked {
				t.Errorf("error %v, %d folders, variables set: %v", err, folders, set)
			}
		})
	}
}
