//go:build e2e

// Package e2e holds the action's image against what starts it and against the
// network that it has to do with.
//
// It needs a Docker engine, and the image that AZDO_PAT_IMAGE names, azdo-pat:test
// if unset. Who asks for these tests with -tags e2e has both, so that nothing
// here skips. They run as root: the command files of a step are another user's.
package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// imageUnderTest is the action's image.
func imageUnderTest() string {
	if name := os.Getenv("AZDO_PAT_IMAGE"); name != "" {
		return name
	}
	return "azdo-pat:test"
}

// engine runs a docker command, which must succeed, and returns what it prints.
func engine(t *testing.T, args ...string) string {
	t.Helper()
	out, err := tryEngine(args...)
	if err != nil {
		t.Fatalf("docker %s: %v", strings.Join(args, " "), err)
	}
	return out
}

func tryEngine(args ...string) (string, error) {
	// Not a test's context, which has ended when its cleanup runs.
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, "docker", args...)
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", errors.Join(err, errors.New(strings.TrimSpace(stderr.String())))
	}
	return strings.TrimSpace(stdout.String()), nil
}

// defaultGateway is this machine's address on Docker's default bridge. An engine
// that finds the bridge there already may not tell the address, so the bridge is
// asked for it.
var defaultGateway = sync.OnceValues(func() (string, error) {
	name, err := tryEngine("network", "inspect", "--format", `{{index .Options "com.docker.network.bridge.name"}}`, "bridge")
	if err != nil {
		return "", err
	}
	bridge, err := net.InterfaceByName(name)
	if err != nil {
		return "", err
	}
	addresses, err := bridge.Addrs()
	if err != nil {
		return "", err
	}
	for _, a := range addresses {
		if prefix, err := netip.ParsePrefix(a.String()); err == nil && prefix.Addr().Is4() {
			return prefix.Addr().String(), nil
		}
	}
	return "", fmt.Errorf("the bridge %s has no IPv4 address, but %v", name, addresses)
})
