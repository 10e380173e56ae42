package radius

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"testing"
	"time"
)

type oneNAS struct{ nas *NAS }

func (o oneNAS) LookupNAS(netip.Addr) *NAS { return o.nas }

// benchAccept answers as a handler would that knows the user already.
func benchAccept(w *Reply, r *Request) {
	if r.Packet.Code() == AccessRequest {
		var buf [128]byte
		if plain, ok := r.AppendUserPassword(buf[:0]); ok && string(plain) == "correct horse" {
			w.SetCode(AccessAccept)
			w.AddUint32(TypeSessionTimeout, 3600)
			w.AddVendor(14988, 8, []byte("10M/10M"))
		}
	}
	w.Send()
}

// benchPacket is a request of usual length. With next it becomes another one.
func benchPacket(code Code, secret []byte) Packet {
	h := NewHasher(secret)
	p := AppendHeader(nil, code, 1, &[16]byte{1})
	if code == AccessRequest {
		p = AppendMessageAuthenticator(p)
		hidden, _ := h.AppendEncryptedUserPassword(nil, []byte("correct horse"), &[16]byte{1})
		p = AppendAttribute(p, TypeUserPassword, hidden)
	} else {
		p = AppendString(p, TypeAcctSessionID, "81a00b5e")
		p = AppendUint32(p, TypeAcctStatusType, 3)
	}
	p = AppendString(p, TypeUserName, "alice@example.org")
	p = AppendUint32(p, TypeNASPort, 15728691)
	p = AppendString(p, TypeCalledStationID, "hotspot1")
	p = AppendString(p, TypeCallingStationID, "00:0C:42:D6:5C:1F")
	p = AppendString(p, TypeNASIdentifier, "MikroTik")
	SetLength(p)
	if code == AccessRequest {
		h.SignMessageAuthenticator(p, HeaderLength, nil)
	}
	h.SignRequest(p)
	return p
}

// BenchmarkPath is what a packet costs without the sockets: from admit to the signed
// reply, in batches.
func BenchmarkPath(b *testing.B) {
	secret := []byte("a shared secret")
	nas := &NAS{Name: "bench", Secrets: [][]byte{secret}}
	start := func() *listener {
		l := newTestListener()
		l.server.NASes, l.server.serve = oneNAS{nas}, benchAccept
		l.table = newDuplicates(l.server.window(), defaultDuplicateEntries)
		l.now = time.Now()
		return l
	}
	run := func(b *testing.B, l *listener, p Packet, each func(i int, d *datagram)) {
		for _, n := range []int{1, 8, batchSize - 1} { // a full batch would be written
			b.Run(fmt.Sprint(n), func(b *testing.B) {
				in := make([]datagram, n)
				for i := range in {
					in[i] = datagram{data: append(Packet(nil), p...), way: way{peer: netip.MustParseAddrPort("10.0.0.1:1024")}}
				}
				b.ReportAllocs()
				for i := 0; b.Loop(); i += n {
					for j := range in {
						each(i+j, &in[j])
					}
					l.receive(in)
					l.lanes.sign(l.unsigned, l.hashers)
					l.out, l.unsigned = l.out[:0], l.unsigned[:0]
					l.table.reuse()
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/packet")
			})
		}
	}
	// Each request is on another port, 10,000 of them, so that the table is in use.
	fresh := func(i int, d *datagram) {
		d.way.peer = netip.AddrPortFrom(d.way.peer.Addr(), uint16(1024+i%10000))
	}
	for _, code := range []Code{AccessRequest, AccountingRequest} {
		b.Run(code.String(), func(b *testing.B) {
			l := start()
			if code == AccountingRequest {
				l.service = acctService
			}
			run(b, l, benchPacket(code, secret), func(i int, d *datagram) {
				fresh(i, d)
				if w := l.table.entries[keyOf(&d.way, Packet(d.data))]; w != nil {
					w.authenticator[0]++ // as if it were another request
				}
			})
			if n := l.counters.repeated.Load(); n > 0 {
				b.Fatal("duplicates: ", n)
			}
		})
	}
	b.Run("repeated", func(b *testing.B) {
		run(b, start(), benchPacket(AccessRequest, secret), func(int, *datagram) {})
	})
	b.Run("forged", func(b *testing.B) {
		run(b, start(), benchPacket(AccessRequest, []byte("another")), fresh)
	})
	b.Run("unknown source", func(b *testing.B) {
		l := start()
		l.server.NASes = oneNAS{nil}
		run(b, l, benchPacket(AccessRequest, secret), fresh)
	})
}

// BenchmarkServer is requests a second over loopback, the generator's own work
// included: it keeps a window of requests on each of a few sockets.
func BenchmarkServer(b *testing.B) {
	secret := []byte("a shared secret")
	for _, code := range []Code{AccessRequest, AccountingRequest} {
		b.Run(code.String(), func(b *testing.B) {
			s := &Server{
				Handler: HandlerFunc(benchAccept), NASes: oneNAS{&NAS{Name: "bench", Secrets: [][]byte{secret}}},
				Auth: []string{"127.0.0.1:0"}, Acct: []string{"127.0.0.1:0"}, Listeners: 1,
				Logger: slog.New(slog.NewTextHandler(io.Discard, nil)),
			}
			if err := s.Start(); err != nil {
				b.Fatal(err)
			}
			defer s.Shutdown(context.Background())
			auth, acct := s.Addrs()
			to := auth[0]
			if code == AccountingRequest {
				to = acct[0]
			}
			if err := generate(b, to, benchPacket(code, secret), code, secret); err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "requests/s")
		})
	}
}

// generate sends b.N requests in windows of half the Identifiers, and counts the
// answers.
func generate(b *testing.B, to netip.AddrPort, p Packet, code Code, secret []byte) error {
	c, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		return err
	}
	h := NewHasher(secret)
	reader, writer := newBatchReader(c), newBatchWriter(c)
	in, out := make([]datagram, batchSize), make([]datagram, batchSize)
	for i := range out {
		out[i] = datagram{data: append(Packet(nil), p...), way: way{peer: to}}
	}
	offset := len(p)
	for i := HeaderLength; i < len(p); i += int(p[i+1]) {
		if Type(p[i]) == TypeUserName {
			offset = i + 2
		}
	}
	sent, answered := 0, 0
	b.ResetTimer()
	for answered < b.N {
		for sent < b.N && sent-answered < 4*batchSize {
			n := min(batchSize, b.N-sent)
			for i := range n {
				d := Packet(out[i].data)
				d[1] = byte(sent)
				// Another user, so another authenticator, or another signature.
				binary.BigEndian.PutUint32(d[offset:], uint32(sent))
				if code == AccessRequest {
					binary.BigEndian.PutUint32(d[16:], uint32(sent))
					h.SignMessageAuthenticator(d, HeaderLength, nil)
				}
				h.SignRequest(d)
				sent++
			}
			if failed, err := writer.write(out[:n]); failed > 0 {
				return err
			}
		}
		n, err := reader.read(in)
		if err != nil {
			return fmt.Errorf("%d of %d answered: %w", answered, sent, err)
		}
		answered += n
	}
	return nil
}
