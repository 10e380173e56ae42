// Package freeport hands out ports of loopback to servers that tests and benchmarks
// start.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
)

// Systems give out ports from 32768 (Linux) or 49152 (others) to whoever asks for any,
// and services of the system live below 10000.
const first, count = 10_000, 22_000

var (
	mu   sync.Mutex
	held []*os.File // the reservations, locked while the process lives
)

// Reserve returns a number that is free on 127.0.0.1 for TCP and UDP. No later call, in
// any process of this user, returns it again while this process lives, so a server can
// be started on it late, and started again. Where files cannot be locked the number is
// only free at the time of the call.
func Reserve() (int, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("radiusd-ports-%d", os.Getuid()))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return 0, fmt.Errorf("reserve a port: %w", err)
	}
	for range 100 {
		port := first + rand.IntN(count)
		reservation, err := os.OpenFile(filepath.Join(dir, strconv.Itoa(port)), os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return 0, fmt.Errorf("reserve a port: %w", err)
		}
		if lock(reservation) != nil || !free(port) {
			reservation.Close()
			continue
		}
		mu.Lock()
		held = append(held, reservation)
		mu.Unlock()
		return port, nil
	}
	return 0, errors.New("no free port between 10000 and 32000 on 127.0.0.1")
}

func free(port int) bool {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	stream, err := net.Listen("tcp", address)
	if err != nil {
		return false
	}
	defer stream.Close()
	packets, err := net.ListenPacket("udp", address)
	if err != nil {
		return false
	}
	packets.Close()
	return true
}
