package job

import (
	"cmp"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"azdo-pat/internal/ci"
	"azdo-pat/internal/displayname"
	"azdo-pat/internal/hint"
	"azdo-pat/internal/lease"
	"azdo-pat/internal/sanitize"
	"azdo-pat/internal/secret"
	"azdo-pat/internal/toolconfig"
)

// tools are the tools of the setting configure. nil: there are none.
type tools struct {
	*Job
	temp, name string // the temp folder as this process sees it; the folder in it
	options    toolconfig.Options
}

// prepareTools finds out, before there is a token, whether the tools can be set up for
// the job's later steps. It writes nothing.
func (j *Job) prepareTools(key string) (*tools, error) {
	if len(j.Settings.Configure) == 0 {
		return nil, nil
	}
	temp := j.Platform.TempFolder()
	if temp == "" {
		return nil, hint.Add(errors.New("configure: this job has no temp folder"),
			"set "+j.Platform.Info().TempVariable+" where azdo-pat runs, and mount that folder there")
	}
	t := j.newTools(temp, key)
	seen := cmp.Or(j.Settings.RunnerTemp, temp)
	t.options.Folder = seenPath(seen, t.name)
	if seen != temp {
		t.options.InContainer = seenPath(temp, t.name)
	}
	config, err := t.check()
	if err != nil {
		return nil, err
	}
	if err := j.Platform.PrepareVariables(variablesOf(config)); err != nil {
		return nil, fmt.Errorf("configure: %w", err)
	}
	return t, nil
}

func variablesOf(config *toolconfig.Config) (all []ci.Variable) {
	for _, v := range config.Variables {
		all = append(all, ci.Variable(v))
	}
	return all
}

// newTools names a folder for the files in a temp folder.
func (j *Job) newTools(temp, key string) *tools {
	t := &tools{Job: j, temp: temp, name: toolconfig.NewFolder(key, j.Random)}
	t.options = toolconfig.Options{
		Organization: j.Settings.Organization, Tools: j.Settings.Configure,
		Folder: filepath.Join(temp, t.name), LookupEnv: j.Platform.LookupEnv,
	}
	for _, text := range j.Settings.Feed {
		feeds, err := toolconfig.ParseFeeds(text)
		if err != nil {
			panic(err) // settings has validated it
		}
		t.options.Feeds = append(t.options.Feeds, feeds...)
	}
	return t
}

// seenPath joins the path of a folder, as the job's steps see it, and a name.
func seenPath(folder, name string) string { return strings.TrimRight(folder, "/") + "/" + name }

// check reports what will keep the tools from being set up. The configuration has no
// token.
func (t *tools) check() (*toolconfig.Config, error) {
	if err := toolconfig.CheckTemp(t.temp); err != nil {
		return nil, fmt.Errorf("configure: %w", err)
	}
	workspace, _ := t.Platform.LookupEnv(t.Platform.Info().WorkspaceVariable)
	if workspace != "" && within(t.temp, workspace) {
		return nil, hint.Add(fmt.Errorf("configure: the temp folder %s is in the workspace, %s", t.temp, workspace),
			"files with a token must not be there, where a later step could publish them; use another temp folder")
	}
	return toolconfig.Build(t.options, secret.New("placeholder"))
}

// within reports whether a folder is the same as another or lies in it.
func within(folder, other string) bool {
	resolve := func(path string) string {
		if resolved, err := filepath.EvalSymlinks(path); err == nil {
			return resolved
		}
		return filepath.Clean(path)
	}
	relative, err := filepath.Rel(resolve(other), resolve(folder))
	return err == nil && filepath.IsLocal(relative)
}

// folder is the name of the folder, for the record.
func (t *tools) folder() string {
	if t == nil {
		return ""
	}
	return t.name
}

// handOver hands over the token, with tools that are set up for it. The record, which
// has the folder, was kept before. If it fails, no file is left.
func (t *tools) handOver(p ci.Platform, token secret.Value, record lease.Record, result ci.Result) error {
	if t == nil {
		return p.HandOver(result)
	}
	var files []toolconfig.File
	if record.ID != "" {
		files = append(files, toolconfig.File{Name: toolconfig.IDFile, Content: []byte(record.ID)})
	}
	config, err := t.write(token, func(all []toolconfig.File) error { return toolconfig.Write(t.temp, t.name, append(all, files...)) })
	if err != nil {
		return err
	}
	// The process that revokes takes the record over and then looks for the folder.
	// If it has the record now, it may have looked too early.
	err = p.Record(record.String())
	if err == nil {
		err = p.HandOver(result)
	}
	if err == nil {
		err = p.SetVariables(variablesOf(config))
	}
	if err != nil {
		return errors.Join(err, t.remove())
	}
	var names []string
	for _, v := range config.Variables {
		names = append(names, v.Name)
	}
	p.Log().Infof("configured %s for the steps that follow; variables set: %s", strings.Join(t.options.Tools, ", "), strings.Join(names, ", "))
	return nil
}

// write builds the configuration for a token and passes its files to write. It logs
// what the user should know of it.
func (t *tools) write(token secret.Value, write func([]toolconfig.File) error) (*toolconfig.Config, error) {
	config, err := toolconfig.Build(t.options, token)
	if err == nil {
		err = write(config.Files)
	}
	if err != nil {
		return nil, err
	}
	log := t.Platform.Log()
	for _, text := range config.Notes {
		log.Infof("%s", text)
	}
	for _, text := range config.Warnings {
		log.Warning("azdo-pat configure", sanitize.Line(text, 500))
	}
	return config, nil
}

// remove removes the files.
func (t *tools) remove() error {
	_, err := toolconfig.Remove(t.temp, toolconfig.Folders{Recorded: t.name})
	return err
}

// RemoveTools removes the files that mint wrote for tools, and says what it removed, and
// what it could not.
func RemoveTools(p ci.Platform, which toolconfig.Folders) {
	removed, err := toolconfig.Remove(p.TempFolder(), which)
	for _, path := range removed {
		p.Log().Infof("removed the files that configure wrote: %s", path)
	}
	if err == nil && len(removed) == 0 && which.Expected {
		p.Log().Infof("found no files of configure to remove in %s", p.TempFolder())
	}
	warnOfFiles(p.Log(), err)
}

// warnOfFiles warns of files with a token that could not be removed.
func warnOfFiles(log *ci.Log, err error) {
	if err != nil {
		log.Warning("files are left", "the files that configure wrote could not be removed: "+err.Error()+"\nremove them by hand; they hold a token")
	}
}

// OwnTools identifies the files of this job's own lease, which has the settings' name.
// recorded is the name of their folder according to the record.
func (j *Job) OwnTools(recorded string) toolconfig.Folders {
	which := toolconfig.Folders{Recorded: recorded, ID: j.Settings.AuthorizationID}
	for _, name := range []string{"INPUT_CONFIGURE", "AZDO_PAT_CONFIGURE"} { // no setting of what revokes
		value, _ := j.Platform.LookupEnv(name)
		which.Expected = which.Expected || value != ""
	}
	if origin := j.Platform.Origin(j.Settings.Name); origin.Derived {
		which.Keys = []string{origin.Key}
	}
	return which
}

// Tools are the tools that the command of exec uses.
type Tools struct {
	tools   *tools
	release func() // lets the next exec remove what is left of the files
}

// PrepareTools finds out, before there is a token, whether the tools can be set up for a
// command. It writes nothing.
func (j *Job) PrepareTools() (*Tools, error) {
	if len(j.Settings.Configure) == 0 {
		return &Tools{}, nil
	}
	temp := j.Platform.TempFolder()
	if temp == "" {
		resolved, err := filepath.EvalSymlinks(os.TempDir())
		if err == nil { // the command may change its working directory
			temp, err = filepath.Abs(resolved)
		}
		if err != nil {
			return nil, fmt.Errorf("configure: open the temp folder: %w", err)
		}
	}
	t := j.newTools(temp, displayname.Random("", j.Random).Key)
	_, err := t.check()
	return &Tools{tools: t}, err
}

// SetUp writes the files for a token. It returns the variables of the command's
// environment.
func (t *Tools) SetUp(token secret.Value) ([]toolconfig.Variable, error) {
	if t.tools == nil {
		return nil, nil
	}
	for _, path := range toolconfig.RemoveAbandoned(t.tools.temp) {
		t.tools.Platform.Log().Infof("removed the files of an azdo-pat exec that was killed: %s", path)
	}
	config, err := t.tools.write(token, func(files []toolconfig.File) (err error) {
		t.release, err = toolconfig.WriteHeld(t.tools.temp, t.tools.name, files)
		return err
	})
	if err != nil {
		return nil, err
	}
	return config.Variables, nil
}

// Remove removes the files, and says what it could not remove.
func (t *Tools) Remove() {
	if t.tools == nil {
		return
	}
	err := t.tools.remove()
	if t.release != nil {
		t.release()
	}
	warnOfFiles(t.tools.Platform.Log(), err)
}
