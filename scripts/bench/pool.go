//go:build linux

package main

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"encoding/binary"
	"fmt"
)

// A pool is the Access-Requests of a load, signed beforehand. Each is bound to one
// socket and one Identifier, of which it is one of several variants: used in turn, no
// request is the same as the one before it from the same port with the same Identifier,
// so that no server may take it for a repetition (RFC 5080 section 2.2.2).
type pool struct {
	sockets, variants int
	data              []byte
	ends              []uint32
	keys              []nasKey // by NAS
}

// largestPool bounds the memory of a pool. With more users than that, the pool has some
// of all of them.
const largestPool = 1 << 17

// newPool makes a pool for a method, pap, chap, or mschapv2, that has every user at
// least once if that fits.
func newPool(method string, sockets, users int, keys []nasKey) (*pool, error) {
	slots := sockets * 256
	p := &pool{keys: keys, sockets: sockets, variants: max(2, (min(users, largestPool)+slots-1)/slots)}
	total := slots * p.variants
	random := make([]byte, 64)
	p.data = make([]byte, 0, total*200)
	for i := range total {
		if _, err := rand.Read(random); err != nil {
			return nil, err
		}
		user := 1 + i%users
		if users > total {
			user = 1 + i*(users/total) + int(binary.BigEndian.Uint32(random[56:]))%(users/total)
		}
		start := len(p.data)
		var err error
		if p.data, err = appendRequest(p.data, method, user, keys, byte(i), random); err != nil {
			return nil, err
		}
		if len(p.data)-start > slotSize {
			return nil, fmt.Errorf("a request of %d octets", len(p.data)-start)
		}
		p.ends = append(p.ends, uint32(len(p.data)))
	}
	return p, nil
}

// packet returns a variant of the request for a socket and an Identifier. Those that are
// sent one after the other are side by side in memory.
func (p *pool) packet(variant, socket, identifier int) []byte {
	i := (variant*p.sockets+socket)*256 + identifier
	start := uint32(0)
	if i > 0 {
		start = p.ends[i-1]
	}
	return p.data[start:p.ends[i]]
}

// nasAddress is the address of a NAS, on loopback.
func nasAddress(nas int) [4]byte { return [4]byte{127, 0, 1 + byte((nas+1)>>8), byte(nas + 1)} }

// sourceOf is the value of a request's NAS-IP-Address, which appendRequest has put before
// Message-Authenticator.
func sourceOf(request []byte) [4]byte { return [4]byte(request[len(request)-18-4:]) }

// nasOf is the NAS that sends a request.
func nasOf(request []byte) int {
	address := sourceOf(request)
	return int(address[2]-1)<<8 + int(address[3]) - 1
}

// appendRequest appends an Access-Request as a concentrator for PPPoE sends it. A user
// always comes from the same device at the same port of the same NAS, by its
// NAS-IP-Address, so that one who may have one session only is not refused a second one.
func appendRequest(dst []byte, method string, user int, keys []nasKey, identifier byte, random []byte) ([]byte, error) {
	start := len(dst)
	authenticator := [16]byte(random)
	address, secret := nasAddress(user%len(keys)), keys[user%len(keys)].secret[:]
	name := userName(user)
	dst = appendHeader(dst, accessRequest, identifier, &authenticator)
	dst = appendInteger(dst, attrServiceType, 2)
	dst = appendInteger(dst, attrFramedProtocol, 1)
	dst = appendInteger(dst, attrNASPort, uint32(user))
	dst = appendInteger(dst, attrNASPortType, 15)
	dst = appendText(dst, attrUserName, name)
	dst = appendText(dst, attrCallingStationID, fmt.Sprintf("02:00:%02X:%02X:%02X:%02X", byte(user>>24), byte(user>>16), byte(user>>8), byte(user)))
	dst = appendText(dst, attrCalledStationID, "pppoe-service")
	dst = appendText(dst, attrNASPortID, "ether2-vlan100")
	password := appendPassword(nil, []byte(name))
	switch method {
	case "pap":
		hidden := md5.Sum(append(secret[:len(secret):len(secret)], authenticator[:]...))
		for i, octet := range password {
			hidden[i] ^= octet
		}
		dst = appendAttribute(dst, attrUserPassword, hidden[:])
	case "chap":
		challenge := random[16:32]
		response := md5.Sum(append(append([]byte{identifier}, password...), challenge...))
		dst = appendAttribute(dst, attrCHAPPassword, append([]byte{identifier}, response[:]...))
		dst = appendAttribute(dst, attrCHAPChallenge, challenge)
	case "mschapv2":
		challenge, peer := random[16:32], random[32:48]
		response := make([]byte, 50)
		response[0] = identifier
		copy(response[2:], peer)
		ntResponse, err := ntResponse(challenge, peer, []byte(name), password)
		if err != nil {
			return nil, err
		}
		copy(response[26:], ntResponse[:])
		dst = appendVendor(dst, vendorMicrosoft, msCHAPChallenge, challenge)
		dst = appendVendor(dst, vendorMicrosoft, msCHAP2Response, response)
	default:
		return nil, fmt.Errorf("unknown method %q", method)
	}
	dst = appendText(dst, attrNASIdentifier, "bras1")
	dst = appendAttribute(dst, attrNASIPAddress, address[:])
	dst = appendAttribute(dst, attrMessageAuthenticator, make([]byte, 16))
	p := dst[start:]
	setLength(p)
	mac := hmac.New(md5.New, secret)
	mac.Write(p)
	mac.Sum(p[:len(p)-16])
	return dst, nil
}
