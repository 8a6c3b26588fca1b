package harness

import (
	"path/filepath"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/githubrunner"
	"azdo-pat/internal/fakes/pipelinesagent"
)

// Scripts returns the scripts in testdata/script.
func Scripts(t *testing.T) []string {
	t.Helper()
	all, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(all) == 0 {
		t.Fatalf("%d scripts, %v", len(all), err)
	}
	return all
}

// RunScripts runs scripts. With debug set to 1, the program writes its debug log.
func RunScripts(t *testing.T, scripts []string, debug string) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Files:              scripts,
		WorkdirRoot:        memoryDir(t),
		RequireUniqueNames: true,
		Setup: func(env *testscript.Env) error {
			w, err := newWorld(env, debug)
			if err != nil {
				return err
			}
			env.Values["world"] = w
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"job":       job,
			"pipeline":  pipeline,
			"jobof":     jobOf,
			"token":     accessToken,
			"signin":    signIn,
			"person":    person,
			"login":     loginStep,
			"page":      pageShown,
			"terminal":  terminal,
			"set":       set,
			"unset":     unset,
			"main":      mainStep,
			"post":      postStep,
			"azdo-pat":  program,
			"status":    status,
			"result":    result,
			"plant":     plant,
			"output":    output,
			"nooutput":  noOutput,
			"state":     state,
			"summary":   summary,
			"log":       log,
			"pats":      pats,
			"requests":  requests,
			"fault":     fault,
			"world":     change,
			"vault":     changeVault,
			"stored":    stored,
			"seed":      seed,
			"aged":      seedAged,
			"lasting":   seedLasting,
			"own":       ownPAT,
			"pat":       seedPAT,
			"everykind": seedEveryKind,
			"found":     found,
			"runs":      seedRun,
			"active":    activeNames,
			"advance":   advance,
			"assertion": assertionFile,
			"usable":    usable,
			"json":      jsonField,
			"secret":    copySecret,
			"variable":  variable,
			"folder":    folder,
		},
	})
}

// world is the services and the CI job of one script.
type world struct {
	*emulator.Emulator
	dir     string
	debug   string
	env     map[string]string      // of the next run
	step    *githubrunner.Step     // whose command files the last run wrote
	main    *githubrunner.Step     // the last main step
	agent   *pipelinesagent.Job    // in Azure Pipelines
	record  *pipelinesagent.Record // of the last run there
	status  int
	person  *emulator.Person // who signs in
	page    string           // the last one of the browser
	log     githubrunner.Log
	shown   []githubrunner.Line // the log of the last run as a person sees it
	fixture []string            // files with a credential that the script itself wrote
}

func newWorld(env *testscript.Env, debug string) (*world, error) {
	e, err := emulator.New(emulator.Options{})
	if err != nil {
		return nil, err
	}
	env.Defer(func() { e.Close() })
	env.Setenv("GIT_URL", e.GitURL())
	env.Setenv("SECRET_URL", e.SecretURL())
	return &world{Emulator: e, dir: env.WorkDir, debug: debug, env: map[string]string{}}, nil
}

func of(ts *testscript.TestScript) *world { return ts.Value("world").(*world) }
