package harness

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// docker answers the calls by which a pipeline takes the program out of an image:
// create, cp and rm.
func docker(args []string) (status int) {
	self, err := os.Executable()
	switch {
	case err != nil:
	case os.Getenv("DOCKER_HOST") == "unix:///nowhere":
		err = errors.New("cannot connect to the Docker daemon")
	case len(args) == 2 && args[0] == "create":
		fmt.Println("c0ffee")
	case len(args) == 3 && args[0] == "cp" && args[1] == "c0ffee:/azdo-pat":
		_ = os.Remove(args[2])
		err = os.Symlink(self, args[2])
	case len(args) == 2 && args[0] == "rm" && args[1] == "c0ffee":
	default:
		err = fmt.Errorf("not supported: %q", args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "docker:", err)
		return 1
	}
	return 0
}

// curl downloads from this machine alone, with the options that the documents use
// and the exit statuses of the real one.
func curl(args []string) (status int) {
	fail := func(status int, err error) int {
		fmt.Fprintln(os.Stderr, "curl:", err)
		return status
	}
	out := os.Stdout
	var user *url.Userinfo
	bearer := ""
	for i := 0; i < len(args); i++ {
		switch args[i] {
		case "--fail", "--silent", "--show-error", "--location":
		case "--output":
			i++
			f, err := os.Create(args[i])
			if err != nil {
				return fail(23, err)
			}
			out = f
		case "--user":
			i++
			before, after, _ := strings.Cut(args[i], ":")
			user = url.UserPassword(before, after)
		case "--oauth2-bearer":
			i++
			bearer = args[i]
		default:
			u, err := url.Parse(args[i])
			if err != nil || strings.HasPrefix(args[i], "-") || u.Hostname() != "127.0.0.1" {
				return fail(2, fmt.Errorf("not supported: %q", args[i]))
			}
			u.User = user
			req, err := http.NewRequest(http.MethodGet, u.String(), nil)
			if err != nil {
				return fail(2, err)
			}
			if bearer != "" {
				req.Header.Set("Authorization", "Bearer "+bearer)
			}
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				return fail(7, err)
			}
			defer resp.Body.Close()
			if resp.StatusCode != http.StatusOK {
				return fail(22, fmt.Errorf("the server answered %s", resp.Status))
			}
			if _, err := io.Copy(out, resp.Body); err != nil {
				return fail(18, err)
			}
			if err := out.Close(); err != nil {
				return fail(23, err)
			}
		}
	}
	return 0
}

// npm makes a package, and publishes one if it has the registry's password.
func npm(args []string) (status int) {
	var err error
	switch {
	case len(args) == 3 && args[0] == "pack" && args[1] == "--pack-destination":
		err = os.WriteFile(filepath.Join(args[2], "widgets-1.2.3.tgz"), nil, 0o600)
	case len(args) == 7 && args[0] == "publish" && slices.Equal([]string{args[2], args[3], args[5]}, []string{"--ignore-scripts", "--userconfig", "--registry"}):
		err = publish(args[1], args[4], args[6])
	default:
		err = fmt.Errorf("not supported: %q", args)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "npm:", err)
		return 1
	}
	return 0
}

func publish(file, config, registry string) error {
	if _, err := os.Stat(file); err != nil {
		return err
	}
	text, err := os.ReadFile(config)
	if err != nil {
		return err
	}
	_, registry, _ = strings.Cut(registry, ":")
	password, err := base64.StdEncoding.DecodeString(os.Getenv("PAT_BASE64"))
	if err != nil || len(password) != 84 || !strings.Contains(string(text), registry+":_password=${PAT_BASE64}\n") {
		return errors.New("there is no password for " + registry)
	}
	fmt.Println("published to", registry)
	return nil
}
