//go:build linux

package main

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"hash"

	//lint:ignore SA1019 MS-CHAP has it
	"golang.org/x/crypto/md4"
)

// A cryptoFloor answers an Access-Request with the cryptography that the answer takes
// and nothing else: no user is looked up, no NAS, no duplicate; nothing is counted.
// MD5 and HMAC are the standard library's, kept for the secret and reused.
type cryptoFloor struct {
	method string
	mac    hash.Hash
	md5    hash.Hash
	md4    hash.Hash
	sha1   hash.Hash
	sum    [20]byte
	fixed  []byte // what every answer says
	salt   uint16
}

var zeros [16]byte

// newCryptoFloor makes one that answers as many octets as radiusd does, with the reply
// items of a plan and a Class, or with nothing but Message-Authenticator.
func newCryptoFloor(method string, items bool) *cryptoFloor {
	f := &cryptoFloor{method: method, mac: hmac.New(md5.New, []byte(secret)), md5: md5.New(), md4: md4.New(), sha1: sha1.New()}
	f.mac.Reset() // keeps the state after the key
	if items {
		f.fixed = appendAttribute(planReply(), attrClass, make([]byte, 16))
	}
	return f
}

// answer appends the Access-Accept for a request. There is none for a request that is
// not right in every respect.
func (f *cryptoFloor) answer(p, dst []byte) []byte {
	if len(p) < headerLength || p[0] != accessRequest || int(binary.BigEndian.Uint16(p[2:])) != len(p) {
		return nil
	}
	var name, password, challenge, response []byte
	signed := 0
	for i := headerLength; i < len(p); i += int(p[i+1]) {
		if i+2 > len(p) || p[i+1] < 2 || i+int(p[i+1]) > len(p) {
			return nil
		}
		value := p[i+2 : i+int(p[i+1])]
		switch p[i] {
		case attrUserName:
			name = value
		case attrUserPassword, attrCHAPPassword:
			password = value
		case attrCHAPChallenge:
			challenge = value
		case attrMessageAuthenticator:
			if signed != 0 || len(value) != 16 {
				return nil
			}
			signed = i + 2
		case attrVendorSpecific:
			if len(value) < 6 || binary.BigEndian.Uint32(value) != vendorMicrosoft {
				continue
			}
			switch value[4] {
			case msCHAPChallenge:
				challenge = value[6:]
			case msCHAP2Response:
				response = value[6:]
			}
		}
	}
	if signed == 0 || !f.verify(p, signed) {
		return nil
	}
	dst = append(dst, accessAccept, p[1], 0, 0)
	dst = append(dst, p[4:20]...) // stands there while the answer is signed
	dst = append(dst, attrMessageAuthenticator, 18)
	dst = append(dst, zeros[:]...)
	dst = append(dst, f.fixed...)
	switch f.method {
	case "pap":
		if !f.pap(p[4:20], name, password) {
			return nil
		}
	case "chap":
		if !f.chap(name, password, challenge) {
			return nil
		}
	case "mschapv2":
		if dst = f.mschapv2(dst, p[4:20], name, challenge, response); dst == nil {
			return nil
		}
	}
	setLength(dst)
	f.mac.Reset()
	f.mac.Write(dst)
	f.mac.Sum(dst[headerLength+2 : headerLength+2])
	f.md5.Reset()
	f.md5.Write(dst)
	f.md5.Write([]byte(secret))
	f.md5.Sum(dst[4:4])
	return dst
}

// verify checks Message-Authenticator (RFC 3579 section 3.2).
func (f *cryptoFloor) verify(p []byte, at int) bool {
	f.mac.Reset()
	f.mac.Write(p[:at])
	f.mac.Write(zeros[:])
	f.mac.Write(p[at+16:])
	return subtle.ConstantTimeCompare(f.mac.Sum(f.sum[:0]), p[at:at+16]) == 1
}

// pap recovers the password and compares it (RFC 2865 section 5.2).
func (f *cryptoFloor) pap(authenticator, name, hidden []byte) bool {
	if len(hidden) != 16 || len(name) > 16 {
		return false
	}
	f.md5.Reset()
	f.md5.Write([]byte(secret))
	f.md5.Write(authenticator)
	pad := f.md5.Sum(f.sum[:0])
	var want, got [16]byte
	appendPassword(want[:0], name)
	subtle.XORBytes(got[:], hidden, pad)
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// chap checks a response (RFC 1994 section 4.1).
func (f *cryptoFloor) chap(name, response, challenge []byte) bool {
	if len(response) != 17 || len(name) > 16 {
		return false
	}
	var password [16]byte
	f.md5.Reset()
	f.md5.Write(response[:1])
	f.md5.Write(appendPassword(password[:0], name))
	f.md5.Write(challenge)
	return subtle.ConstantTimeCompare(f.md5.Sum(f.sum[:0]), response[1:]) == 1
}

var (
	magicResponse1 = []byte("Magic server to client signing constant")
	magicResponse2 = []byte("Pad to make it do more than one iteration")
	magicMaster    = []byte("This is the MPPE Master Key")
	magicReceive   = []byte("On the client side, this is the send key; on the server side, it is the receive key.")
	magicSend      = []byte("On the client side, this is the receive key; on the server side, it is the send key.")
	pad1           [40]byte
	pad2           = func() (p [40]byte) {
		for i := range p {
			p[i] = 0xf2
		}
		return p
	}()
)

// hash leaves SHA-1 of the parts in f.sum.
func (f *cryptoFloor) hash(parts ...[]byte) []byte {
	f.sha1.Reset()
	for _, part := range parts {
		f.sha1.Write(part)
	}
	return f.sha1.Sum(f.sum[:0])
}

// mschapv2 checks a response and appends what an answer to it has: the proof that the
// server knows the password too, and the keys for MPPE.
func (f *cryptoFloor) mschapv2(dst, authenticator, name, challenge, response []byte) []byte {
	if len(challenge) != 16 || len(response) != 50 || len(name) > 16 {
		return nil
	}
	var password [16]byte
	nt := f.md4Of(widen(appendPassword(password[:0], name)))
	var shortened [8]byte
	copy(shortened[:], f.hash(response[2:18], challenge, name))
	want, err := challengeResponse(&shortened, &nt)
	if err != nil || subtle.ConstantTimeCompare(want[:], response[26:]) != 1 {
		return nil
	}
	twice := f.md4Of(nt[:])

	// RFC 2759 section 8.7.
	digest := [20]byte(f.hash(twice[:], want[:], magicResponse1))
	digest = [20]byte(f.hash(digest[:], shortened[:], magicResponse2))
	var success [msCHAP2SuccessBytes]byte
	success[0], success[1], success[2] = response[0], 'S', '='
	hex.Encode(success[3:], digest[:])
	for i, c := range success[3:] {
		if c >= 'a' {
			success[3+i] = c - 'a' + 'A'
		}
	}
	dst = appendVendor(dst, vendorMicrosoft, msCHAP2Success, success[:])

	// RFC 3079 section 3.4.
	master := [16]byte(f.hash(twice[:], want[:], magicMaster)[:16])
	key := [16]byte(f.hash(master[:], pad1[:], magicSend, pad2[:])[:16])
	dst = f.appendKey(dst, authenticator, msMPPESendKey, &key)
	key = [16]byte(f.hash(master[:], pad1[:], magicReceive, pad2[:])[:16])
	dst = f.appendKey(dst, authenticator, msMPPERecvKey, &key)
	dst = appendVendor(dst, vendorMicrosoft, msMPPEEncPolicy, []byte{0, 0, 0, 1})
	return appendVendor(dst, vendorMicrosoft, msMPPEEncTypes, []byte{0, 0, 0, 6})
}

// md4Of is MD4 of a text.
func (f *cryptoFloor) md4Of(text []byte) [16]byte {
	f.md4.Reset()
	f.md4.Write(text)
	return [16]byte(f.md4.Sum(f.sum[:0]))
}

// widen is ASCII in UTF-16LE.
func widen(text []byte) []byte {
	wide := make([]byte, 0, 32)
	for _, octet := range text {
		wide = append(wide, octet, 0)
	}
	return wide
}

// appendKey appends a key encrypted with a salt (RFC 2548 section 2.4.2).
func (f *cryptoFloor) appendKey(dst, authenticator []byte, t byte, key *[16]byte) []byte {
	f.salt++
	var value [2 + 32]byte
	binary.BigEndian.PutUint16(value[:], f.salt|0x8000)
	value[2] = 16
	copy(value[3:], key[:])
	for i := 2; i < len(value); i += 16 {
		f.md5.Reset()
		f.md5.Write([]byte(secret))
		if i == 2 {
			f.md5.Write(authenticator)
			f.md5.Write(value[:2])
		} else {
			f.md5.Write(value[i-16 : i])
		}
		subtle.XORBytes(value[i:i+16], value[i:i+16], f.md5.Sum(f.sum[:0]))
	}
	return appendVendor(dst, vendorMicrosoft, t, value[:])
}
