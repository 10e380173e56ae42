package radiustest

import (
	"encoding/binary"

	"radiusd/radius"
)

// Malformed returns spoiled forms of a packet, by what is wrong with them. None of
// them may ever be answered.
func Malformed(p radius.Packet) map[string][]byte {
	spoil := func(change func(b []byte) []byte) []byte {
		return change(append([]byte(nil), p...))
	}
	length := func(n int) []byte {
		return spoil(func(b []byte) []byte { binary.BigEndian.PutUint16(b[2:], uint16(n)); return b })
	}
	extended := func(attributes ...byte) []byte {
		return spoil(func(b []byte) []byte {
			b = append(b, attributes...)
			binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
			return b
		})
	}
	many := make([]byte, 2*(radius.MaxAttributes+1))
	for i := range many {
		many[i] = [2]byte{byte(radius.TypeClass), 2}[i%2]
	}
	return map[string][]byte{
		"empty":                       {},
		"cut in the header":           p[:radius.HeaderLength-1],
		"cut in the attributes":       p[:len(p)-1],
		"length 0":                    length(0),
		"length 19":                   length(radius.HeaderLength - 1),
		"length beyond the end":       length(len(p) + 1),
		"length 4097":                 append(length(radius.MaxLength+1), make([]byte, radius.MaxLength)...),
		"length 65535":                length(1<<16 - 1),
		"attribute of length 0":       extended(byte(radius.TypeClass), 0),
		"attribute of length 1":       extended(byte(radius.TypeClass), 1),
		"attribute without length":    extended(byte(radius.TypeClass)),
		"attribute beyond the packet": extended(byte(radius.TypeClass), 4, 0),
		"attribute 0":                 extended(0, 2),
		"too many attributes":         extended(many...),
	}
}

// Forged returns the message as packets that are well-formed and wrongly signed, by
// what is wrong with them. None of them may ever be answered, whatever the NAS's
// settings.
func (n *NAS) Forged(m *radius.Message) map[string]radius.Packet {
	n.t.Helper()
	right := radius.NewHasher(n.Secret)
	hashed := m.Code == radius.AccountingRequest || m.Code == radius.DisconnectRequest || m.Code == radius.CoARequest
	build := func(h *radius.Hasher, authenticators ...int) radius.Packet {
		n.t.Helper()
		spoiled := *m
		spoiled.Attributes = nil
		for _, length := range authenticators {
			spoiled.Add(radius.TypeMessageAuthenticator, make([]byte, length))
		}
		spoiled.Attributes = append(spoiled.Attributes, m.Attributes...)
		p, err := spoiled.AppendTo(nil, n.identifier, h)
		if err != nil {
			n.t.Fatal(err)
		}
		n.identifier++
		return p
	}
	wrong := build(right, radius.AuthenticatorLength)
	wrong[radius.HeaderLength+2] ^= 1
	right.SignRequest(wrong)
	forged := map[string]radius.Packet{
		"signed with another secret":      build(radius.NewHasher(append([]byte("x"), n.Secret...)), radius.AuthenticatorLength),
		"wrong Message-Authenticator":     wrong,
		"short Message-Authenticator":     build(right, radius.AuthenticatorLength-1),
		"long Message-Authenticator":      build(right, radius.AuthenticatorLength+1),
		"Message-Authenticator twice":     build(right, radius.AuthenticatorLength, radius.AuthenticatorLength),
		"Message-Authenticator and empty": build(right, radius.AuthenticatorLength, 0),
	}
	if hashed {
		flipped, zeros := build(right), build(right)
		flipped[4] ^= 1
		clear(zeros[4:radius.HeaderLength])
		forged["wrong Request Authenticator"] = flipped
		forged["Request Authenticator of zeros"] = zeros
	}
	return forged
}
