package radius

import (
	"bytes"
	"testing"
)

// The seeds are in testdata/fuzz: the golden packets and packets that broke other
// servers.

// FuzzParse: what Parse takes, every accessor reads without panic or endless loop,
// and appending it again gives the same octets.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, datagram []byte) {
		p, discard := Parse(datagram)
		if discard != 0 {
			if p != nil {
				t.Fatal("a packet and a reason")
			}
			readAll(Attributes(datagram)) // what did not pass Parse does no harm either
			return
		}
		again := AppendHeader(nil, p.Code(), p.Identifier(), p.Authenticator())
		count := 0
		for typ, value := range p.Attributes().All() {
			again = AppendAttribute(again, typ, value)
			count++
		}
		SetLength(again)
		if !bytes.Equal(again, p) {
			t.Fatalf("appended again: %x, was %x", again, p)
		}
		if count > MaxAttributes {
			t.Fatalf("%d attributes", count)
		}
		if q, discard := Parse(p); discard != 0 || !bytes.Equal(q, p) {
			t.Fatal("a packet that is not a packet")
		}
		readAll(p.Attributes())
		_ = p.Code().String()
		_ = p.CHAPChallenge()
	})
}

// readAll calls every accessor for the types that there are and one that is not.
func readAll(a Attributes) {
	types := map[Type]bool{TypeFramedIPv6Prefix: true}
	for typ := range a.All() {
		types[typ] = true
	}
	for typ := range types {
		value, ok := a.Get(typ)
		if ok != a.Has(typ) || ok != (a.Count(typ) > 0) {
			panic("Get, Has and Count differ")
		}
		if s, _ := a.String(typ); s != string(value) {
			panic("Get and String differ")
		}
		a.Uint32(typ)
		a.Time(typ)
		a.Addr(typ)
		a.Prefix(typ)
	}
	if n := len(a.AppendConcat(nil, TypeEAPMessage)); n > len(a) {
		panic("more than there is")
	}
	for _, vendor := range []uint32{0, 9, 311, 24757} {
		octets := 0
		for typ, value := range a.AllVendor(vendor) {
			octets += 2 + len(value)
			if first, ok := a.Vendor(vendor, typ); !ok || first == nil {
				panic("AllVendor and Vendor differ")
			}
		}
		if octets > len(a) {
			panic("more than there is")
		}
	}
}

// FuzzVerify: no packet makes the checks panic, and what is signed verifies.
func FuzzVerify(f *testing.F) {
	f.Fuzz(func(t *testing.T, datagram, secret []byte) {
		h := NewHasher(secret)
		var requestAuthenticator [AuthenticatorLength]byte
		copy(requestAuthenticator[:], secret)

		fuzzPasswords(t, h, datagram, &requestAuthenticator)
		p, discard := Parse(bytes.Clone(datagram))
		if discard != 0 {
			return
		}
		h.VerifyMessageAuthenticator(p, &requestAuthenticator)
		h.VerifyRequestAuthenticator(p)
		for typ, value := range p.Attributes().All() {
			h.AppendUserPassword(nil, value, p.Authenticator())
			h.AppendUnsalted(nil, value, p.Authenticator())
			h.AppendPlainAscendSecret(nil, value, p.Authenticator())
			if typ == TypeCHAPPassword {
				VerifyCHAP(value, secret, p.CHAPChallenge())
			}
		}

		// As a message it is signed, unless it becomes too long.
		m := Message{Code: p.Code(), Attributes: p.Attributes(), Authenticator: *p.Authenticator()}
		signed, err := m.AppendTo(nil, p.Identifier(), h)
		if err != nil {
			if len(p) < MaxLength-messageAuthenticatorLength && p.Attributes().Count(TypeMessageAuthenticator) == 0 && len(p) < HeaderLength+2*(MaxAttributes-1) {
				t.Fatal(err)
			}
			return
		}
		q, discard := Parse(signed)
		if discard != 0 {
			t.Fatal(discard)
		}
		if q.Code().hashedRequest() && !h.VerifyRequestAuthenticator(q) {
			t.Fatal("signed request does not verify")
		}
		result := h.VerifyMessageAuthenticator(q, &zeroAuthenticator)
		value, _ := q.Attributes().Get(TypeMessageAuthenticator)
		switch n := q.Attributes().Count(TypeMessageAuthenticator); {
		case n == 0 && result != MessageAuthenticatorAbsent,
			n == 1 && (result == MessageAuthenticatorValid) != (len(value) == AuthenticatorLength),
			n > 1 && result != MessageAuthenticatorInvalid:
			t.Fatalf("%d Message-Authenticators: %d", n, result)
		}
	})
}

func fuzzPasswords(t *testing.T, h *Hasher, plain []byte, authenticator *[AuthenticatorLength]byte) {
	if encrypted, err := h.AppendEncryptedUserPassword(nil, plain, authenticator); err == nil {
		got, ok := h.AppendUserPassword(nil, encrypted, authenticator)
		if !ok || !bytes.Equal(got, trimPadding(plain)) {
			t.Fatalf("User-Password %x became %x", plain, got)
		}
	} else if len(plain) <= MaxPasswordLength {
		t.Fatal(err)
	}
	if salted, err := h.AppendSalted(nil, plain, authenticator, uint16(len(plain))); err == nil {
		got, ok := h.AppendUnsalted(nil, salted, authenticator)
		if !ok || !bytes.Equal(got, plain) {
			t.Fatalf("salted %x became %x", plain, got)
		}
	} else if len(plain) <= MaxSaltedLength {
		t.Fatal(err)
	}
}

// FuzzClientResponse: nothing but a response that verifies ends an exchange.
func FuzzClientResponse(f *testing.F) {
	f.Fuzz(func(t *testing.T, datagram []byte, code uint8, sign bool) {
		h := NewHasher([]byte("testing123"))
		m := Message{Code: Code(code), Authenticator: [AuthenticatorLength]byte{1}}
		request, err := m.AppendTo(nil, 7, h)
		if err != nil {
			t.Fatal(err)
		}
		c := new(Client)
		x := c.exchange(h.secret, m.Code)
		x.request = request
		s := &socket{peer: &peer{client: c, slots: make(chan struct{}, 1)}, next: 7}
		s.peer.slots <- struct{}{}
		identifier, ok := s.take(x)
		if !ok || identifier != 7 {
			t.Fatal("no identifier")
		}
		defer func() {
			s.release(identifier)
			s.idle.Stop()
		}()
		authenticator := x.request.Authenticator()
		datagram = bytes.Clone(datagram)
		p, discard := Parse(datagram)
		if discard == 0 && sign {
			for i := HeaderLength; i < len(p); i += int(p[i+1]) {
				if Type(p[i]) == TypeMessageAuthenticator && p[i+1] == messageAuthenticatorLength {
					h.SignMessageAuthenticator(p, i, authenticator)
					break
				}
			}
			h.SignResponse(p, authenticator)
		}

		s.receive(datagram)
		if len(x.result) != 0 {
			t.Fatal("taken before the request was sent")
		}
		s.expect(identifier)
		s.receive(datagram)
		select {
		case r := <-x.result:
			valid := h.VerifyMessageAuthenticator(p, authenticator) == MessageAuthenticatorValid
			if r.err != nil || !bytes.Equal(r.packet, p) || p.Identifier() != 7 || !p.Code().Answers(m.Code) || !h.VerifyResponse(p, authenticator) {
				t.Fatalf("taken: %x", p)
			}
			if !valid && (m.Code == AccessRequest || p.Attributes().Has(TypeMessageAuthenticator) && m.Code != AccountingRequest) {
				t.Fatalf("taken with a Message-Authenticator that is missing or wrong: %x", p)
			}
		default:
			valid := h.VerifyMessageAuthenticator(p, authenticator) == MessageAuthenticatorValid
			if discard == 0 && sign && valid && p.Identifier() == 7 && p.Code().Answers(m.Code) {
				t.Fatalf("not taken: %x", p)
			}
		}
	})
}
