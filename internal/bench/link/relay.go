// Package link makes a long way to a server out of a short one, in time, by a
// relay in the way of each connection.
package link

import (
	"net"
	"sync"
	"time"
)

// Listen accepts connections on an address, such as 127.0.0.1:0, and passes each
// on to the target as if it were rtt away, there and back:
//
//   - The connection is made one rtt after it was asked for. The kernel on this
//     machine makes it at once, so what the client sends before that moment
//     leaves at that moment.
//   - Each byte arrives rtt/2 after it left, in either direction. Bytes on the
//     way do not wait for each other: the way is long, not narrow.
//   - So does the end of the stream.
//
// Nothing is lost, and there is no window that would have to grow.
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

// pass carries what two ends of a connection say to each other, until both have
// ended. The client asked for the connection at the given moment.
func pass(client, server net.Conn, asked time.Time, rtt time.Duration, until func(time.Time)) {
	defer client.Close()
	defer server.Close()
	var both sync.WaitGroup
	both.Go(func() { carry(server, client, asked.Add(rtt), rtt/2, until) })
	both.Go(func() { carry(client, server, time.Time{}, rtt/2, until) })
	both.Wait()
}

// onTheWay is how many pieces of a stream can be in flight at once: more than any of
// the programs sends in one round trip.
const onTheWay = 1024

// carry takes what from sends to where it goes, each piece later by away.
// Nothing leaves before the connection is open.
func carry(to, from net.Conn, open time.Time, away time.Duration, until func(time.Time)) {
	type piece struct {
		data []byte // nil: the end
		due  time.Time
	}
	way := make(chan piece, onTheWay)
	go func() {
		defer close(way)
		for {
			buffer := make([]byte, 16<<10)
			n, err := from.Read(buffer)
			left := time.Now()
			if left.Before(open) {
				left = open
			}
			if n > 0 {
				way <- piece{buffer[:n], left.Add(away)}
			}
			if err != nil {
				way <- piece{nil, left.Add(away)}
				return
			}
		}
	}()
	for p := range way {
		until(p.due)
		if p.data == nil {
			end(to)
			continue
		}
		if _, err := to.Write(p.data); err != nil {
			from.Close() // which ends the reading
		}
	}
}

// end says that nothing more will be sent.
func end(c net.Conn) {
	if half, ok := c.(interface{ CloseWrite() error }); ok {
		half.CloseWrite()
		return
	}
	c.Close()
}
