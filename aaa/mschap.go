package aaa

import (
	"bytes"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"layeh.com/radius/rfc2759"
	"layeh.com/radius/rfc3079"

	"radiusd/dictionary"
	"radiusd/radius"
)

const (
	msCHAPChallengeLength    = 8  // RFC 2433 §3
	msCHAP2ChallengeLength   = 16 // RFC 2759 §3
	mppeEncryptionAllowed    = 1  // RFC 2548 §2.4.4
	mppeEncryption40Or128Bit = 2 | 4
)

// ntHash is MD4 of the password in UTF-16LE (RFC 2759 §8.3). A password that is not
// UTF-8 is taken with replacement characters, as Windows would show it.
func ntHash(password []byte) []byte {
	encoded, err := rfc2759.ToUTF16(bytes.ToValidUTF8(password, []byte("\uFFFD")))
	if err != nil {
		return nil
	}
	return rfc2759.NTPasswordHash(encoded)
}

// msCHAP is what an Access-Request with MS-CHAP or MS-CHAPv2 brings, and what the
// reply needs of it.
type msCHAP struct {
	challenge []byte // slices of the request
	response  []byte
	hash      []byte // the user's NT hash, once the response was right
	username  []byte // the form of the name that was right
}

// verifyMSCHAP checks MS-CHAP-Response (RFC 2548 §2.1.3, RFC 2433).
func (m *msCHAP) verifyMSCHAP(hash []byte) bool {
	want := rfc2759.ChallengeResponse(m.challenge, hash)
	if subtle.ConstantTimeCompare(want, m.response[26:50]) != 1 {
		return false
	}
	m.hash = hash
	return true
}

// verifyMSCHAPv2 checks MS-CHAP2-Response (RFC 2548 §2.3.2, RFC 2759 §8.1). The
// challenge hash has the user name without a DOMAIN\ in front (RFC 2759 §4); some
// clients leave it there.
func (m *msCHAP) verifyMSCHAPv2(hash, username []byte) bool {
	names := [2][]byte{username, nil}
	if i := bytes.LastIndexByte(username, '\\'); i >= 0 {
		names = [2][]byte{username[i+1:], username}
	}
	for _, name := range names {
		if name == nil {
			continue
		}
		challenge := rfc2759.ChallengeHash(m.response[2:18], m.challenge, name)
		want := rfc2759.ChallengeResponse(challenge, hash)
		if subtle.ConstantTimeCompare(want, m.response[26:50]) == 1 {
			m.hash, m.username = hash, name
			return true
		}
	}
	return false
}

// authenticatorResponse is what proves to the peer that the server knows the
// password (RFC 2759 §8.7).
func (m *msCHAP) authenticatorResponse() string {
	// The library's function wants the password; with an NT hash there is none.
	magic1 := []byte("Magic server to client signing constant")
	magic2 := []byte("Pad to make it do more than one iteration")
	digest := sha1Sum(rfc2759.NTPasswordHash(m.hash), m.response[26:50], magic1)
	challenge := rfc2759.ChallengeHash(m.response[2:18], m.challenge, m.username)
	digest = sha1Sum(digest, challenge, magic2)
	return "S=" + strings.ToUpper(hex.EncodeToString(digest))
}

// addMSCHAP adds the keys for MPPE to an Access-Accept (RFC 2548 §2.4.1).
func (m *msCHAP) addMSCHAP(w *radius.Reply) {
	// The LM key, which only 40-bit encryption used, stays zero.
	var keys [32]byte
	copy(keys[8:24], rfc2759.NTPasswordHash(m.hash))
	hidden, err := w.Request().Cipher().Encrypt(nil, dictionary.EncryptUser, keys[:])
	if err != nil {
		return // 32 octets always fit
	}
	w.AddVendor(radius.VendorMicrosoft, radius.MSCHAPMPPEKeys, hidden)
	addMPPEPolicy(w)
}

// addMSCHAPv2 adds MS-CHAP2-Success and the keys for MPPE (RFC 2548 §2.3.3, §2.4.2,
// RFC 3079 §3.4).
func (m *msCHAP) addMSCHAPv2(w *radius.Reply) {
	success := append([]byte{m.response[0]}, m.authenticatorResponse()...)
	w.AddVendor(radius.VendorMicrosoft, radius.MSCHAP2Success, success)
	send, recv := m.mppeKeys()
	w.AddSalted(radius.VendorMicrosoft, radius.MSMPPESendKey, send)
	w.AddSalted(radius.VendorMicrosoft, radius.MSMPPERecvKey, recv)
	addMPPEPolicy(w)
}

// mppeKeys are the session keys from the server's point of view.
func (m *msCHAP) mppeKeys() (send, recv []byte) {
	master := rfc3079.GetMasterKey(rfc2759.NTPasswordHash(m.hash), m.response[26:50])
	// The master key has 16 octets: no error is possible.
	send, _ = rfc3079.GetAsymmetricStartKey(master, rfc3079.KeyLength128Bit, true)
	recv, _ = rfc3079.GetAsymmetricStartKey(master, rfc3079.KeyLength128Bit, false)
	return send, recv
}

// addMPPEPolicy adds what items have not set.
func addMPPEPolicy(w *radius.Reply) {
	if _, ok := w.Attributes().Vendor(radius.VendorMicrosoft, radius.MSMPPEEncryptPolicy); !ok {
		w.AddVendor(radius.VendorMicrosoft, radius.MSMPPEEncryptPolicy, binary.BigEndian.AppendUint32(nil, mppeEncryptionAllowed))
	}
	if _, ok := w.Attributes().Vendor(radius.VendorMicrosoft, radius.MSMPPEEncryptTypes); !ok {
		w.AddVendor(radius.VendorMicrosoft, radius.MSMPPEEncryptTypes, binary.BigEndian.AppendUint32(nil, mppeEncryption40Or128Bit))
	}
}

// msCHAPErrorText is the value of MS-CHAP-Error (RFC 2548 §2.1.5, RFC 2433 §7,
// RFC 2759 §6): E=691 is a failed authentication whatever the reason, R=0 asks the
// peer not to try again with the same challenge.
func msCHAPErrorText(identifier byte, version string, challenge []byte) []byte {
	text := append([]byte{identifier}, "E=691 R=0 C="...)
	text = append(text, strings.ToUpper(hex.EncodeToString(challenge))...)
	return append(text, " V="+version...)
}

func sha1Sum(parts ...[]byte) []byte {
	h := sha1.New()
	for _, part := range parts {
		h.Write(part)
	}
	return h.Sum(nil)
}
