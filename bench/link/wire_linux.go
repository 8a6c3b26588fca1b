package link

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"
)

// The ends of a [Wire], of the network that is set aside for measuring networks
// (RFC 2544).
const (
	network     = "198.18.0.0/15"
	serversEnd  = "198.18.37.1"
	programsEnd = "198.18.37.2"
)

// A Wire is a network of two machines, both of them this one: a network
// namespace for programs, and between it and the rest a way over which each IP
// packet goes in half a round trip. What goes over it is the kernel's own TCP,
// with its handshake, its acknowledgements and its windows. It takes Linux, root
// and iproute2, and changes no address or route that was there before.
type Wire struct {
	namespace string
	ends      []*os.File
	away      atomic.Int64 // nanoseconds, one way
	carrying  sync.WaitGroup
}

// NewWire makes a wire without delay.
func NewWire() (*Wire, error) {
	if err := unused(network); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("azdo%d", os.Getpid())
	w := &Wire{namespace: name}
	for _, end := range []string{name + "a", name + "b"} {
		f, err := openTUN(end)
		if err != nil {
			w.Close()
			return nil, err
		}
		w.ends = append(w.ends, f)
	}
	for _, command := range []string{
		"netns add NAME",
		"link set dev NAMEb netns NAME",
		"addr add " + serversEnd + " peer " + programsEnd + " dev NAMEa",
		"link set dev NAMEa up",
		"-n NAME link set dev lo up",
		"-n NAME addr add " + programsEnd + " peer " + serversEnd + " dev NAMEb",
		"-n NAME link set dev NAMEb up",
	} {
		if err := ip(strings.Fields(strings.ReplaceAll(command, "NAME", name))...); err != nil {
			w.Close()
			return nil, err
		}
	}
	w.carrying.Go(func() { w.carry(w.ends[1], w.ends[0]) })
	w.carrying.Go(func() { w.carry(w.ends[0], w.ends[1]) })
	return w, nil
}

// SetRTT sets how long a packet and its answer take.
func (w *Wire) SetRTT(rtt time.Duration) { w.away.Store(int64(rtt / 2)) }

// Listen accepts connections at the servers' end of the wire and passes them on
// to the target, at once.
func (w *Wire) Listen(target string) (net.Listener, error) {
	return Listen(serversEnd+":0", target, 0)
}

// Command is what to put in front of a command, to start it at the programs'
// end.
func (w *Wire) Command() []string { return []string{"ip", "netns", "exec", w.namespace} }

// Close takes the wire away.
func (w *Wire) Close() error {
	for _, f := range w.ends {
		f.Close() // the device goes with it
	}
	w.carrying.Wait()
	return ip("netns", "delete", w.namespace)
}

// carry takes the packets that arrive at one end to the other.
func (w *Wire) carry(to, from *os.File) {
	type packet struct {
		data []byte
		due  time.Time
	}
	way := make(chan packet, onTheWay)
	w.carrying.Go(func() {
		defer close(way)
		for {
			buffer := make([]byte, 2048) // more than an interface's 1500
			n, err := from.Read(buffer)
			if err != nil {
				return
			}
			way <- packet{buffer[:n], time.Now().Add(time.Duration(w.away.Load()))}
		}
	})
	for p := range way {
		waitUntil(p.due)
		to.Write(p.data) // what cannot be delivered is lost, as on any network
	}
}

// unused refuses a network that this machine is in, where an address of the
// wire's would take one away from it.
func unused(network string) error {
	_, ours, err := net.ParseCIDR(network)
	if err != nil {
		return err
	}
	addresses, err := net.InterfaceAddrs()
	if err != nil {
		return err
	}
	for _, a := range addresses {
		_, theirs, err := net.ParseCIDR(a.String())
		if err == nil && (theirs.Contains(ours.IP) || ours.Contains(theirs.IP)) {
			return fmt.Errorf("a wire takes addresses of %s, and this machine has one of them: %s", network, a)
		}
	}
	return nil
}

// openTUN makes a network device whose packets are read and written here
// (https://www.kernel.org/doc/html/latest/networking/tuntap.html).
func openTUN(name string) (*os.File, error) {
	const path = "/dev/net/tun"
	fd, err := syscall.Open(path, syscall.O_RDWR|syscall.O_CLOEXEC|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
	request := struct {
		name  [syscall.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: syscall.IFF_TUN | syscall.IFF_NO_PI}
	copy(request.name[:syscall.IFNAMSIZ-1], name)
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, uintptr(fd), syscall.TUNSETIFF, uintptr(unsafe.Pointer(&request))); errno != 0 {
		syscall.Close(fd)
		return nil, fmt.Errorf("make the network device %s: %w", name, errno)
	}
	return os.NewFile(uintptr(fd), path), nil
}

func ip(args ...string) error {
	if text, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(string(text)))
	}
	return nil
}
