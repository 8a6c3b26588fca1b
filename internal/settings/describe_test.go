package settings

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

// normal is the defaults, as descriptions name them.
var normal = map[string]string{
	"token-type": "pat", "lifetime": "1h", "skip-revoke": "false", "on-revoke-failure": "warn", "allow-full-access": "false",
	"audience": "api://AzureADTokenExchange", "authority-host": "https://login.microsoftonline.com",
	"token-service-url": "https://vssps.dev.azure.com", "timeout": "2m", "output": "text",
	"env": "AZURE_DEVOPS_EXT_PAT", "older-than": "6h", "dry-run": "false", "undo": "false", "overlap": "0", "no-browser": "false",
}

func TestDescriptions(t *testing.T) {
	t.Parallel()
	described := map[string]bool{}
	for _, d := range Descriptions {
		if described[d.Name] {
			t.Errorf("%s is described twice", d.Name)
		}
		described[d.Name] = true
		if !slices.Contains(settingNames(), d.Name) {
			t.Errorf("%s is described, but is no setting", d.Name)
		}
		text := d.Meaning + d.defaultText()
		if text == "" || strings.ContainsAny(text, "\r\n") || strings.HasSuffix(text, ".") {
			t.Errorf("%s: not one line without a full stop: %q", d.Name, text)
		}
		if v, ok := normal[d.Name]; ok != strings.Contains(text, "(default "+v) {
			t.Errorf("%s: the default %q is not named, or there is none: %q", d.Name, v, text)
		}
		if boolean := normal[d.Name] == "false"; d.Bool != boolean {
			t.Errorf("%s: Bool is %v, want %v", d.Name, d.Bool, boolean)
		}
		if len(d.For) == 0 || slices.Contains(d.For, Post) {
			t.Errorf("%s is for %q; want commands that take flags", d.Name, d.For)
		}
	}
	for _, name := range settingNames() {
		if !described[name] {
			t.Errorf("%s is not described", name)
		}
	}
	for name := range normal {
		if !described[name] {
			t.Errorf("%s has a default but no description", name)
		}
	}
}

// Each command has the flags of the settings that it reads.
func TestDescriptionsNameTheirCommands(t *testing.T) {
	t.Parallel()
	of := map[string][]Command{
		"scopes": {Mint, Exec, Rotate, Check}, "lifetime": {Mint, Exec, Rotate, Check}, "allow-full-access": {Mint, Exec, Rotate, Check},
		"name": {Mint, Revoke, Exec, Rotate, Setup}, "skip-revoke": {Mint, Revoke, Exec}, "on-revoke-failure": {Mint, Revoke, Exec},
		"configure": {Mint, Exec}, "feed": {Mint, Exec}, "runner-temp": {Mint},
		"authorization-id": {Revoke}, "env": {Exec, Rotate}, "overlap": {Rotate}, "when-left": {Rotate}, "output": {Mint, Sweep, Check, List},
		"older-than": {Sweep}, "repository": {Sweep, Setup}, "dry-run": {Sweep}, "github-token": {Sweep, List}, "fail-on": {List},
		"policy": {Mint, Exec, Rotate}, "policy-file": {Mint, Exec, Rotate},
		"identity": {Setup}, "format": {Setup}, "undo": {Setup}, "issuer": {Setup}, "subject": {Setup}, "no-browser": {Login},
	}
	for _, name := range []string{"organization", "tenant-id", "client-id", "refresh-token-vault", "agent-id", "agent-user", "username", "audience"} {
		of[name] = []Command{Mint, Revoke, Exec, Rotate, Sweep, Check, List, Setup}
	}
	ofLogin := []string{
		"organization", "tenant-id", "client-id", "username", "federated-token-file", "timeout", "authority-host", "token-service-url", "ca-file",
		"refresh-token-vault",
	}
	for _, d := range Descriptions {
		want := of[d.Name]
		if want == nil {
			want = []Command{Mint, Revoke, Exec, Rotate, Sweep, Check, List}
		}
		if slices.Contains(ofLogin, d.Name) {
			want = append(want, Login)
		}
		if !slices.Equal(d.For, want) {
			t.Errorf("%s is for %q, want %q", d.Name, d.For, want)
		}
	}
}

func TestIsSecret(t *testing.T) {
	t.Parallel()
	for _, name := range settingNames() {
		want := name == "password" || name == "refresh-token" || name == "access-token" || name == "github-token"
		if IsSecret(name) != want {
			t.Errorf("IsSecret(%q) = %v", name, !want)
		}
	}
}

// input is an input of action.yml.
type input struct {
	description string
	keys        []string
}

// actionInputs reads the inputs of action.yml: names are indented by two, their
// keys by four, what is folded below them by more.
func actionInputs(t *testing.T) map[string]*input {
	t.Helper()
	text, err := os.ReadFile("../../action.yml")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, ok := strings.Cut(string(text), "\ninputs:\n")
	if !ok {
		t.Fatal("no inputs in action.yml")
	}
	all := map[string]*input{}
	var in *input
	for line := range strings.SplitSeq(rest, "\n") {
		switch depth := len(line) - len(strings.TrimLeft(line, " ")); {
		case strings.TrimSpace(line) == "":
		case depth == 0:
			return all
		case depth == 2:
			in = &input{}
			all[strings.TrimSuffix(strings.TrimSpace(line), ":")] = in
		case depth == 4:
			k, v, _ := strings.Cut(strings.TrimSpace(line), ":")
			in.keys = append(in.keys, k)
			in.description += strings.Trim(v, " >|-'")
		default:
			in.description += " " + strings.TrimSpace(line)
		}
	}
	return all
}

func TestActionInputs(t *testing.T) {
	t.Parallel()
	inputs := actionInputs(t)
	for _, d := range Descriptions {
		in := inputs[d.Name]
		if (in != nil) != d.Input {
			t.Errorf("the setting %s is an input in action.yml: %t, want %t", d.Name, in != nil, d.Input)
		}
		if in == nil {
			continue
		}
		if strings.TrimSpace(in.description) == "" {
			t.Errorf("the input %s has no description", d.Name)
		}
		if v := d.Default(Mint); v != "" && !strings.Contains(in.description, "Default "+v+".") {
			t.Errorf("the input %s does not name its default %s: %q", d.Name, v, in.description)
		}
		for _, name := range d.AlsoRead {
			if strings.HasPrefix(name, "AZURE_") && !strings.Contains(in.description, "read from "+name) {
				t.Errorf("the input %s does not name %s: %q", d.Name, name, in.description)
			}
		}
	}
	for name, in := range inputs {
		if name != "command" && Describe(name) == nil {
			t.Errorf("the input %s is no setting", name)
		}
		// A default would be passed on as if the caller had written it, and hide
		// the environment.
		if slices.Contains(in.keys, "default") != (name == "command" || name == "runner-temp") {
			t.Errorf("the input %s: keys %q", name, in.keys)
		}
	}
}

// These are no inputs of the action: the post step knows the id, the results are
// outputs and the summary, and the rest belongs to exec or to Azure Pipelines.
func TestNoInputs(t *testing.T) {
	t.Parallel()
	for _, d := range Descriptions {
		not := slices.Contains([]string{"authorization-id", "output", "env", "overlap", "when-left", "service-connection-id", "identity", "format", "undo", "issuer", "subject", "no-browser"}, d.Name)
		if d.Input == not {
			t.Errorf("%s: Input is %t", d.Name, d.Input)
		}
	}
}

// The help has one parenthesis for the default, which comes from the tags.
func TestHelpHasNoDefaultOfItsOwn(t *testing.T) {
	t.Parallel()
	for _, d := range Descriptions {
		if text := d.Meaning + d.defaultText(); d.Default("") != "" && strings.Count(text, "default") != 1 {
			t.Errorf("%s: %q", d.Name, text)
		}
	}
}

// A kind that does not exist would not be validated.
func TestKinds(t *testing.T) {
	t.Parallel()
	for _, d := range Descriptions {
		if d.checks[""] == nil && d.Name != "name" {
			t.Errorf("%s: the kind %q has no check", d.Name, d.kind)
		}
		for c, check := range d.checks {
			if c != "" && check == nil {
				t.Errorf("%s: the kind for %s has no check", d.Name, c)
			}
		}
		for _, c := range append(commands, "") {
			if check := d.checkFor(c); check != nil && d.Default(c) != "" {
				if _, err := check(d.Default(c)); err != nil {
					t.Errorf("%s: the default for %q is refused: %v", d.Name, c, err)
				}
			}
		}
	}
}

// A tag for a command that does not exist would be ignored.
func TestTagsNameCommands(t *testing.T) {
	t.Parallel()
	for _, d := range Descriptions {
		for _, c := range slices.Concat(slices.Collect(maps.Keys(d.defaults)), slices.Collect(maps.Keys(d.checks)), slices.Collect(maps.Keys(d.meanings))) {
			if c != "" && !slices.Contains(commands, c) {
				t.Errorf("%s has a tag for the command %q", d.Name, c)
			}
		}
	}
}
