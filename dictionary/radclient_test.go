package dictionary

import (
	"bytes"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/internal/testserver"
)

// radclientKnows reports whether FreeRADIUS's radclient can be asked to send
// an attribute: it has it in its dictionary, and sends it as the dictionary says.
func radclientKnows(a *Attribute) bool {
	switch {
	case a.Internal, a.weak, a.Type.container(), a.Encrypt != EncryptNone:
		return false
	case a.Type == ABinary: // filters of a fixed form
		return false
	case a.Vendor != nil && a.Vendor.ID == 41112: // from a later release
		return false
	case a.OID[0] == 173: // release 3.2 does not send TLVs of the standard space
		return false
	}
	switch a.OID[0] {
	case 3, 60, 80: // CHAP-Password, CHAP-Challenge and Message-Authenticator get values of their own
		return false
	case 79: // EAP-Message needs a Message-Authenticator
		return false
	}
	return true
}

// sampleValue makes a valid value for any type, whose text is printable.
func sampleValue(a *Attribute) []byte {
	size := max(a.Size, a.Type.size())
	if size == 0 {
		size = map[DataType]int{ComboIP: 16, IPv6Prefix: 18, String: 3, Octets: 3, ABinary: 3}[a.Type]
	}
	value := bytes.Repeat([]byte{0x21}, size)
	if a.Type == IPv6Prefix || a.Type == IPv4Prefix || a.Tagged && a.Type == Integer {
		value[0], value[1] = 0, 24
		maskBits(value[2:], 24)
	}
	return value
}

// FreeRADIUS's own client decides: it reads our text of every attribute and
// sends what we read back as the same pairs, and write again octet by octet as
// it did; it gets our encoding in the reply and prints the same text.
func TestRadclient(t *testing.T) {
	radclient := testserver.Program(t, "radclient")
	debian(t)
	d := Embedded()
	var packets [][]Pair
	var size, total int
	for a := range d.Attributes() {
		if d.find(a.OID) != a || !radclientKnows(a) {
			continue
		}
		p := Pair{Attr: a, Op: OpEq, Value: sampleValue(a)}
		if a.Tagged {
			p.Tag = 1
		}
		if size += len(p.Value) + 60; size > 3000 || len(packets) == 0 {
			user, err := d.ParsePair("User-Name", "=", strconv.Itoa(len(packets)))
			require.NoError(t, err)
			packets = append(packets, []Pair{user})
			size = 0
		}
		last := &packets[len(packets)-1]
		*last = append(*last, p)
		total++
	}
	require.Greater(t, total, 6000)

	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	require.NoError(t, err)
	defer conn.Close()
	require.NoError(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
	var in bytes.Buffer
	for _, p := range packets {
		fmt.Fprintf(&in, "%s\n\n", AppendPairs(nil, p, "\n"))
	}
	cmd := exec.Command(radclient, "-x", "-r", "1", "-t", "10", conn.LocalAddr().String(), "auth", "testing123")
	cmd.Env = append(os.Environ(), "TZ=UTC")
	cmd.Stdin = &in
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	require.NoError(t, cmd.Start())

	for range packets {
		buf := make([]byte, 4096)
		n, from, err := conn.ReadFrom(buf)
		require.NoError(t, err)
		pairs, err := d.ParseWire(buf[20:n], nil)
		require.NoError(t, err)
		require.NotEmpty(t, pairs)
		i, err := strconv.Atoi(pairs[0].Text())
		require.NoError(t, err)
		want := strings.Split(string(AppendPairs(nil, packets[i], "\n")), "\n")
		assert.ElementsMatch(t, want, strings.Split(string(AppendPairs(nil, pairs, "\n")), "\n"))

		ours, err := d.AppendWire(nil, pairs, nil)
		require.NoError(t, err)
		assert.Equal(t, hex.EncodeToString(buf[20:n]), hex.EncodeToString(ours))

		reply := append([]byte{2, buf[1], 0, 0}, buf[4:20]...)
		reply, err = d.AppendWire(reply, packets[i], nil)
		require.NoError(t, err)
		binary.BigEndian.PutUint16(reply[2:], uint16(len(reply)))
		sum := md5.Sum(append(bytes.Clone(reply), "testing123"...)) // RFC 2865 section 3
		copy(reply[4:], sum[:])
		_, err = conn.WriteTo(reply, from)
		require.NoError(t, err)
	}
	require.NoError(t, cmd.Wait(), out.String())

	printed := map[string]bool{}
	received := false
	for line := range strings.Lines(out.String()) {
		line = strings.TrimSuffix(line, "\n")
		if text, ok := strings.CutPrefix(line, "\t"); ok && received {
			printed[text] = true
		} else if !ok {
			received = strings.HasPrefix(line, "Received Access-Accept")
		}
	}
	for _, pairs := range packets {
		for _, p := range pairs {
			// Of a TLV inside of a TLV release 3.2 prints the first attribute only.
			if !printed[p.String()] && len(p.Attr.OID) < 5 {
				t.Errorf("radclient does not print %s", p)
			}
		}
	}
}
