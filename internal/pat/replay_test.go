package pat

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"
	"time"
)

// Types and codes of HTTP/2, RFC 9113.
const (
	frameData, frameHeaders, frameReset, frameSettings, frameGoAway = 0, 1, 3, 4, 7

	flagEndStream, flagAck = 1, 1

	protocolError, internalError, refusedStream = 1, 2, 7
)

// A frame has a header of nine bytes: length, type, flags, stream.
func writeFrame(w io.Writer, kind, flags byte, stream uint32, payload []byte) {
	frame := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))[1:]
	frame = append(frame, kind, flags)
	frame = binary.BigEndian.AppendUint32(frame, stream)
	w.Write(append(frame, payload...))
}

// overHTTP2 answers every complete request on a connection with one frame, and counts
// the requests.
func overHTTP2(t *testing.T, answer func(stream uint32) (kind byte, on uint32, payload []byte)) (url string, requests *atomic.Int32) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	requests = new(atomic.Int32)
	serve := func(c net.Conn) {
		defer c.Close()
		if _, err := io.ReadFull(c, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
			return
		}
		writeFrame(c, frameSettings, 0, 0, nil)
		for {
			var header [9]byte
			if _, err := io.ReadFull(c, header[:]); err != nil {
				return
			}
			length := binary.BigEndian.Uint32(header[:4]) >> 8
			if _, err := io.CopyN(io.Discard, c, int64(length)); err != nil {
				return
			}
			kind, flags, stream := header[3], header[4], binary.BigEndian.Uint32(header[5:])
			switch {
			case kind == frameSettings && flags&flagAck == 0:
				writeFrame(c, frameSettings, flagAck, 0, nil)
			case (kind == frameData || kind == frameHeaders) && flags&flagEndStream != 0:
				requests.Add(1)
				kind, on, payload := answer(stream)
				writeFrame(c, kind, 0, on, payload)
				if kind == frameGoAway {
					return
				}
			}
		}
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return "http://" + l.Addr().String(), requests
}

// net/http repeats a request if HTTP/2 suggests that the server did not process it. A
// create that was sent must not be repeated before its result is looked up.
func TestCreateIsNotReplayed(t *testing.T) {
	reset := func(code uint32) func(uint32) (byte, uint32, []byte) {
		return func(stream uint32) (byte, uint32, []byte) {
			return frameReset, stream, binary.BigEndian.AppendUint32(nil, code)
		}
	}
	for name, answer := range map[string]func(uint32) (byte, uint32, []byte){
		"PROTOCOL_ERROR": reset(protocolError),
		"INTERNAL_ERROR": reset(internalError),
		"REFUSED_STREAM": reset(refusedStream),
		"GOAWAY": func(uint32) (byte, uint32, []byte) {
			return frameGoAway, 0, make([]byte, 8) // no stream was seen, no error
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			var again atomic.Bool
			url, requests := overHTTP2(t, func(stream uint32) (byte, uint32, []byte) {
				if again.Swap(true) {
					cancel() // or the client would go on until the time is up
				}
				return answer(stream)
			})
			transport := &http.Transport{Protocols: new(http.Protocols)}
			transport.Protocols.SetUnencryptedHTTP2(true)
			defer transport.CloseIdleConnections()
			c := New(Options{BaseURL: url, Organization: "contoso", HTTP: &http.Client{Transport: transport}})
			_, err := c.Create(ctx, Create{DisplayName: "nightly", Scopes: []string{"vso.code"}})
			if e := asError(t, err); e.Settled() || !e.Retryable() {
				t.Errorf("settled %t, passing %t: %v", e.Settled(), e.Retryable(), e)
			}
			if n := requests.Load(); n != 1 {
				t.Errorf("the request was sent %d times", n)
			}
		})
	}
}
