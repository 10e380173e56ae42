package testserver

import (
	"errors"
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Port returns a number that is free on 127.0.0.1 for TCP and UDP. Systems give
// such numbers to nobody who asks for any port, so it is still free when a server
// that had it starts again.
func Port(t testing.TB) int {
	t.Helper()
	port, err := freePort()
	if err != nil {
		t.Fatal(err)
	}
	return port
}

func freePort() (int, error) {
	for range 100 {
		port := 10_000 + rand.IntN(22_000) // Linux gives out 32768 and above, others 49152
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
		stream, err := net.Listen("tcp", address)
		if err != nil {
			continue
		}
		packets, err := net.ListenPacket("udp", address)
		stream.Close()
		if err != nil {
			continue
		}
		packets.Close()
		return port, nil
	}
	return 0, errors.New("no free port between 10000 and 32000 on 127.0.0.1")
}
