package aaa

import (
	"bytes"
	"crypto/subtle"
	"encoding/binary"

	"radiusd/dictionary"
	"radiusd/radius"
	"radiusd/radius/mschap"
)

const (
	msCHAPChallengeLength    = 8  // RFC 2433 §3
	msCHAP2ChallengeLength   = 16 // RFC 2759 §3
	mppeEncryptionAllowed    = 1  // RFC 2548 §2.4.4
	mppeEncryption40Or128Bit = 2 | 4
)

// msCHAP is what an Access-Request with MS-CHAP or MS-CHAPv2 brings, and what the
// reply needs of it.
type msCHAP struct {
	challenge []byte                       // slices of the request
	response  []byte                       // of MSCHAPResponseLength
	hash      mschap.NTHash                // the user's, once the response was right
	hashed    [mschap.ChallengeLength]byte // MS-CHAPv2: the challenge that was answered
}

// ntResponse is the part of the response that answers the challenge.
func (m *msCHAP) ntResponse() *mschap.Response { return (*mschap.Response)(m.response[26:50]) }

// answers reports whether the NT-Response is the one of who has the hash.
func (m *msCHAP) answers(challenge [mschap.ChallengeLength]byte, hash *mschap.NTHash) bool {
	want := hash.Respond(challenge)
	return subtle.ConstantTimeCompare(want[:], m.ntResponse()[:]) == 1
}

// verifyMSCHAP checks MS-CHAP-Response (RFC 2548 §2.1.3, RFC 2433).
func (m *msCHAP) verifyMSCHAP(hash *mschap.NTHash) bool {
	if !m.answers([mschap.ChallengeLength]byte(m.challenge), hash) {
		return false
	}
	m.hash = *hash
	return true
}

// verifyMSCHAPv2 checks MS-CHAP2-Response (RFC 2548 §2.3.2, RFC 2759 §8.1). The
// challenge hash has the user name without a DOMAIN\ in front (RFC 2759 §4); some
// clients leave it there.
func (m *msCHAP) verifyMSCHAPv2(hash *mschap.NTHash, username []byte) bool {
	i := bytes.LastIndexByte(username, '\\')
	return m.verifyAs(hash, username[i+1:]) || i >= 0 && m.verifyAs(hash, username)
}

// verifyAs is verifyMSCHAPv2 with the name that the peer may have hashed.
func (m *msCHAP) verifyAs(hash *mschap.NTHash, name []byte) bool {
	peer, authenticator := (*[16]byte)(m.response[2:]), (*[16]byte)(m.challenge)
	challenge := mschap.ChallengeHash(peer, authenticator, name)
	if !m.answers(challenge, hash) {
		return false
	}
	m.hash, m.hashed = *hash, challenge
	return true
}

// addMSCHAP adds the keys for MPPE to an Access-Accept (RFC 2548 §2.4.1).
func (m *msCHAP) addMSCHAP(w *radius.Reply) {
	// The LM key, which only 40-bit encryption used, stays zero.
	var keys, hidden [32]byte
	hashHash := m.hash.Hash()
	copy(keys[8:], hashHash[:])
	value, err := w.Request().Cipher().Encrypt(hidden[:0], dictionary.EncryptUser, keys[:])
	if err != nil {
		return // 32 octets always fit
	}
	w.AddVendor(radius.VendorMicrosoft, radius.MSCHAPMPPEKeys, value)
	addMPPEPolicy(w)
}

// addMSCHAPv2 adds MS-CHAP2-Success and the keys for MPPE (RFC 2548 §2.3.3, §2.4.2,
// RFC 3079 §3.4).
func (m *msCHAP) addMSCHAPv2(w *radius.Reply) {
	hashHash := m.hash.Hash()
	text := mschap.AuthenticatorResponse(&hashHash, m.ntResponse(), m.hashed)
	var success [1 + len(text)]byte
	success[0] = m.response[0]
	copy(success[1:], text[:])
	w.AddVendor(radius.VendorMicrosoft, radius.MSCHAP2Success, success[:])
	send, receive := mschap.SessionKeys(mschap.MasterKey(&hashHash, m.ntResponse()))
	w.AddSalted(radius.VendorMicrosoft, radius.MSMPPESendKey, send[:])
	w.AddSalted(radius.VendorMicrosoft, radius.MSMPPERecvKey, receive[:])
	addMPPEPolicy(w)
}

// addMPPEPolicy adds what items have not set.
func addMPPEPolicy(w *radius.Reply) {
	addMPPEUint32(w, radius.MSMPPEEncryptPolicy, mppeEncryptionAllowed)
	addMPPEUint32(w, radius.MSMPPEEncryptTypes, mppeEncryption40Or128Bit)
}

func addMPPEUint32(w *radius.Reply, t uint8, value uint32) {
	if _, ok := w.Attributes().Vendor(radius.VendorMicrosoft, t); !ok {
		var wire [4]byte
		binary.BigEndian.PutUint32(wire[:], value)
		w.AddVendor(radius.VendorMicrosoft, t, wire[:])
	}
}

// appendMSCHAPError appends the value of MS-CHAP-Error (RFC 2548 §2.1.5, RFC 2433 §7,
// RFC 2759 §6): E=691 is a failed authentication whatever the reason, R=0 asks the
// peer not to try again with the same challenge.
func appendMSCHAPError(dst []byte, identifier byte, version string, challenge []byte) []byte {
	dst = append(append(dst, identifier), "E=691 R=0 C="...)
	for _, b := range challenge {
		const digits = "0123456789ABCDEF"
		dst = append(dst, digits[b>>4], digits[b&15])
	}
	return append(append(dst, " V="...), version...)
}
