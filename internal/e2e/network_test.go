//go:build e2e

package e2e

import (
	"context"
	"io"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"azdo-pat/internal/fakes/emulator"
	"azdo-pat/internal/fakes/githubrunner"
)

// The simulated network between runner and services: the delay in each direction, and
// the fraction of connections that break.
const (
	away   = 75 * time.Millisecond
	breaks = 50
)

// Fifty leases over a network that is slow and breaks: however it goes for each
// of them, none is left in the end.
func TestSlowAndBrokenNetwork(t *testing.T) {
	e := emulator.Start(t)
	urls := map[emulator.Service]string{}
	network := &badNetwork{}
	for i, s := range allServices {
		// Three hosts, as in the world: no connection serves two of them.
		address := net.IPv4(127, 0, 0, byte(2+i)).String()
		at := serveConns(t, net.JoinHostPort(address, "0"), func(ctx context.Context, c net.Conn) {
			network.pass(ctx, c, host(e, s))
		})
		urls[s] = "http://" + at.String()
	}
	program := fromImage(t)

	const leases, atOnce = 50, 10
	var group sync.WaitGroup
	var minted, revoked atomic.Int32
	turns := make(chan struct{}, atOnce)
	began := time.Now()
	for range leases {
		turns <- struct{}{}
		group.Go(func() {
			defer func() { <-turns }()
			env := moved(e, e.JobEnv(e.StartJob(emulator.Job{}), emulator.AgentUser), urls)
			main, said, err := step(t, program, "azdo-pat", env, nil)
			if err == nil {
				minted.Add(1)
			} else {
				t.Logf("a mint failed: %v\n%s", err, said)
			}
			state, err := main.State()
			if err != nil {
				t.Error(err)
			}
			_, said, err = step(t, program, "post", env, state)
			if err != nil || strings.Contains(said, "::warning") {
				t.Errorf("a post step failed: %v\n%s", err, said)
			} else {
				revoked.Add(1)
			}
		})
	}
	group.Wait()

	t.Logf("%s: %d minted, %d released; %d connections, %d broken; %d PATs made",
		time.Since(began).Round(time.Second), minted.Load(), revoked.Load(), network.conns.Load(), network.broken.Load(), len(e.PATs()))
	if n := len(e.Active()); n != 0 {
		t.Errorf("%d of %d PATs left", n, len(e.PATs()))
	}
	if v := e.Violations(); len(v) > 0 {
		t.Error(v)
	}
	if minted.Load() != leases {
		t.Errorf("%d of %d mints succeeded: what passes should be tried again", minted.Load(), leases)
	}
	if network.broken.Load() == 0 {
		t.Error("no connection broke")
	}
}

// fromImage takes the program out of the image: the same bytes, without a
// container's cost.
func fromImage(t *testing.T) string {
	t.Helper()
	id := engine(t, "create", imageUnderTest())
	defer engine(t, "rm", id)
	file := filepath.Join(t.TempDir(), "azdo-pat")
	engine(t, "cp", id+":/azdo-pat", file)
	return file
}

// step runs a step of the action as a plain process.
func step(t *testing.T, program, name string, env, state map[string]string) (*githubrunner.Step, string, error) {
	files, err := githubrunner.NewStep(t.TempDir())
	if err != nil {
		t.Error(err)
		return nil, "", err
	}
	env = maps.Clone(env)
	maps.Copy(env, state)
	maps.Copy(env, files.Env())
	cmd := exec.Command(program, "mint")
	cmd.Args[0] = "/" + name
	for _, name := range slices.Sorted(maps.Keys(env)) {
		cmd.Env = append(cmd.Env, name+"="+env[name])
	}
	out, err := cmd.CombinedOutput()
	var log githubrunner.Log
	var said strings.Builder
	for _, line := range log.Read(string(out)) {
		if line.Command != nil {
			said.WriteString("::" + line.Command.Name + "::")
		}
		said.WriteString(line.Text + "\n")
	}
	return files, said.String(), err
}

// badNetwork is slow, and breaks one connection in so many: in turn before the
// server hears of it, when the request has arrived, and in the midst of the
// answer.
type badNetwork struct{ conns, broken atomic.Int64 }

func (n *badNetwork) pass(ctx context.Context, client net.Conn, target string) {
	number := n.conns.Add(1)
	fate := int64(-1)
	if number%breaks == 0 {
		n.broken.Add(1)
		fate = number / breaks % 3
	}
	// The client's connection is made at once; the time that the handshake
	// would take passes before its first bytes do.
	time.Sleep(2 * away)
	if fate == 0 {
		reset(client)
		return
	}
	server, err := net.Dial("tcp", target)
	if err != nil {
		return
	}
	up, down := &slow{Conn: server}, &slow{Conn: client}
	switch fate {
	case 1:
		down.bytes = new(int64)
	case 2:
		down.bytes = new(int64(40)) // within the headers
	}
	joinSlow(ctx, up, down)
}

// slow delays writes to a connection, in their order, and can break the connection
// after a number of bytes.
type slow struct {
	net.Conn
	bytes *int64
}

// copyFrom copies as io.Copy does, each piece later by away.
func (s *slow) copyFrom(from net.Conn) error {
	type piece struct {
		data []byte
		due  time.Time
	}
	pieces := make(chan piece, 1024)
	failed := make(chan error, 1)
	go func() {
		defer close(pieces)
		for {
			buffer := make([]byte, 16<<10)
			n, err := from.Read(buffer)
			if n > 0 {
				pieces <- piece{buffer[:n], time.Now().Add(away)}
			}
			if err != nil {
				if err == io.EOF {
					err = nil
				}
				failed <- err
				return
			}
		}
	}()
	for p := range pieces {
		time.Sleep(time.Until(p.due))
		if s.bytes != nil {
			rest := min(*s.bytes, int64(len(p.data)))
			s.Write(p.data[:rest])
			reset(s.Conn)
			from.Close()
			for range pieces {
			}
			return os.ErrClosed
		}
		if _, err := s.Write(p.data); err != nil {
			from.Close()
			for range pieces {
			}
			return err
		}
	}
	return <-failed
}

func joinSlow(ctx context.Context, up, down *slow) {
	shut := func() {
		up.Close()
		down.Close()
	}
	defer shut()
	defer context.AfterFunc(ctx, shut)()
	var both sync.WaitGroup
	both.Go(func() { up.copyFrom(down.Conn); up.Close() })
	both.Go(func() { down.copyFrom(up.Conn); down.Close() })
	both.Wait()
}

// reset closes a connection with a reset, which the other side sees as an error.
func reset(c net.Conn) {
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
}
