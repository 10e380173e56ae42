package aaa

import "encoding/hex"

// classMagic marks a Class attribute (RFC 2865 §5.25) as ours, version 1.
const classMagic = "rd1:"

// AppendClass appends the value of the Class attribute that carries nonce. A NAS
// returns it in the accounting of the session, and ParseClass finds the nonce
// again.
func AppendClass(dst []byte, nonce Nonce) []byte {
	dst = append(dst, classMagic...)
	return append(dst, nonce[:]...)
}

// ParseClass returns the nonce in a value of Class, and false if this server did
// not write it. It neither allocates nor keeps class.
func ParseClass(class []byte) (nonce Nonce, ok bool) {
	if len(class) != len(classMagic)+len(nonce) || string(class[:len(classMagic)]) != classMagic {
		return Nonce{}, false
	}
	copy(nonce[:], class[len(classMagic):])
	return nonce, true
}

// String returns the nonce in hex, as auth_records and sessions show it.
func (n Nonce) String() string { return hex.EncodeToString(n[:]) }
