// Package link adds latency to connections: a relay passes everything on with a
// delay.
package link

import (
	"net"
	"sync"
	"time"
)

// Listen accepts connections on an address, such as 127.0.0.1:0, and passes each on to
// the target, as if a round trip to it took rtt:
//
//   - A connection is open one rtt after the client has asked for it. Since the
//     kernel opens it at once, the relay holds back what the client sends earlier.
//   - Each byte, and the end of the stream, arrives rtt/2 after it was sent. The
//     bandwidth is not limited.
//   - Nothing is lost, and there is no congestion window.
func Listen(address, target string, rtt time.Duration) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, err
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				asked := time.Now()
				server, err := net.Dial("tcp", target)
				if err != nil {
					client.Close()
					return
				}
				pass(client, server, asked, rtt, waitUntil)
			}()
		}
	}()
	return l, nil
}

// pass copies both directions of a connection until both have ended. asked is when the
// client asked for the connection; until waits for a moment.
func pass(client, server net.Conn, asked time.Time, rtt time.Duration, until func(time.Time)) {
	defer client.Close()
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() { carry(server, client, asked.Add(rtt), rtt/2, until) })
	both.Go(func() { carry(client, server, time.Time{}, rtt/2, until) })
	both.Wait()
}

// maxInFlight is how many pieces of a stream can be in flight at once: more than any of
// the programs sends in one round trip.
const maxInFlight = 1024

// carry copies one direction. Each piece arrives delay after it was sent, and counts as
// sent when the connection is open at the earliest.
func carry(to, from net.Conn, open time.Time, delay time.Duration, until func(time.Time)) {
	type piece struct {
		data []byte // nil: the end
		due  time.Time
	}
	inFlight := make(chan piece, maxInFlight)
	go func() {
		defer close(inFlight)
		for {
			buffer := make([]byte, 16<<10)
			n, err := from.Read(buffer)
			sent := time.Now()
			if sent.Before(open) {
				sent = open
			}
			if n > 0 {
				inFlight <- piece{buffer[:n], sent.Add(delay)}
			}
			if err != nil {
				inFlight <- piece{nil, sent.Add(delay)}
				return
			}
		}
	}()
	for p := range inFlight {
		until(p.due)
		if p.data == nil {
			closeWrite(to)
			continue
		}
		if _, err := to.Write(p.data); err != nil {
			from.Close() // which ends the reading
		}
	}
}

// closeWrite ends the stream to c; if only that cannot be done, the whole connection.
func closeWrite(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
		return
	}
	c.Close()
}
