package radius

import (
	"encoding/binary"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// A filterProgram is a classic BPF program that sees each datagram from the UDP header
// on and returns how much of it to keep. A load from behind the end of the datagram
// ends it with 0 (see bpf(4) of the BSDs, and Linux's networking/filter.rst).
type filterProgram []unix.SockFilter

const (
	filterPacket  = 8          // from here on, what is in the datagram
	filterNetwork = 0xfff00000 // SKF_NET_OFF: from here on, the IP header
	filterRandom  = 0xfffff038 // SKF_AD_OFF + SKF_AD_RANDOM
	filterAll     = 1<<32 - 1
	// filterAttributes is how many attributes are looked at for a State.
	filterAttributes = 24
)

// attachFilter has the kernel drop what floods, or takes the filter away if there is
// nothing. A new one takes the place of the old one.
func attachFilter(c *net.UDPConn, sources []flood) error {
	raw, err := c.SyscallConn()
	if err != nil {
		return err
	}
	program := floodFilter(sources)
	if e := raw.Control(func(fd uintptr) {
		if len(program) == 1 {
			err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
			return
		}
		err = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
			&unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]})
	}); e != nil {
		return e
	}
	return err
}

// floodFilter asks of each source in turn whether the datagram is from it. Whether it
// goes first is asked at the end, once for all of them: the kernel bounds the memory of
// filters.
func floodFilter(sources []flood) (f filterProgram) {
	var jumps []int // to the end
	for i := range sources {
		if s := &sources[i]; s.filtered() {
			verdict := filterProgram{
				{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: filterRandom},
				{Code: unix.BPF_JMP | unix.BPF_JGT | unix.BPF_K, K: uint32(s.keep * filterAll), Jt: 1},
				{Code: unix.BPF_RET | unix.BPF_K, K: filterAll},
				{Code: unix.BPF_RET | unix.BPF_K, K: 0},
			}
			f = append(f, sourceFilter(s.addr, len(verdict))...)
			f = append(f, verdict...)
			if s.lets {
				jumps = append(jumps, len(f)-1)
			}
		}
	}
	f = append(f, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: filterAll})
	for _, i := range jumps {
		f[i] = unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: uint32(len(f) - i - 1)}
	}
	if len(jumps) > 0 {
		f = append(f, firstFilter()...)
	}
	return f
}

// sourceFilter goes on if the datagram is from the address, and otherwise jumps over
// so many instructions behind its own.
func sourceFilter(addr netip.Addr, over int) (f filterProgram) {
	version, offset := uint32(4), uint32(12)
	if addr.Is6() {
		version, offset = 6, 8
	}
	equal := func(k uint32) { // or to the jump that is next but one
		f = append(f,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: 1},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: 0})
	}
	f = append(f,
		unix.SockFilter{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: filterNetwork},
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_RSH | unix.BPF_K, K: 4})
	equal(version)
	for address := addr.AsSlice(); len(address) > 0; address = address[4:] {
		f = append(f, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: filterNetwork + offset})
		equal(binary.BigEndian.Uint32(address))
		offset += 4
	}
	for i := range f {
		if f[i].Code == unix.BPF_JMP|unix.BPF_JA {
			f[i].K = uint32(len(f) - i - 1 + over)
		}
	}
	return f
}

// firstFilter keeps the datagram if it is a Status-Server or one of its attributes is
// State, and drops it if not. It has no loops.
func firstFilter() (f filterProgram) {
	keepIf := func(k uint32) {
		f = append(f,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jf: 1},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: filterAll})
	}
	f = append(f, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: filterPacket})
	keepIf(uint32(StatusServer))
	f = append(f, unix.SockFilter{Code: unix.BPF_LDX | unix.BPF_W | unix.BPF_IMM, K: filterPacket + HeaderLength})
	for range filterAttributes {
		f = append(f, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_IND, K: 0})
		keepIf(uint32(TypeState))
		f = append(f,
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_IND, K: 1},
			unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_ADD | unix.BPF_X},
			unix.SockFilter{Code: unix.BPF_MISC | unix.BPF_TAX})
	}
	return append(f, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0})
}
