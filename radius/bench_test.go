package radius_test

import (
	"testing"

	"radiusd/radius"
)

// The packets are of the size that PAP and accounting have in the field.
func benchPackets(b *testing.B) (h *radius.Hasher, access, accounting, accept radius.Packet) {
	h = radius.NewHasher([]byte("testing123456789"))
	password, _ := h.AppendEncryptedUserPassword(nil, []byte("correct horse"), &requestAuthenticator)
	common := radius.AppendString(nil, radius.TypeUserName, "alice@example.org")
	common = radius.AppendUint32(common, radius.TypeNASPort, 17)
	common = radius.AppendString(common, radius.TypeCalledStationID, "02-00-5e-00-53-01")
	common = radius.AppendString(common, radius.TypeCallingStationID, "02-00-5e-00-53-af")
	common = radius.AppendString(common, radius.TypeNASIdentifier, "bras-1")
	access = packet(b, radius.AccessRequest, requestAuthenticator, radius.AppendMessageAuthenticator(nil), radius.AppendAttribute(nil, radius.TypeUserPassword, password), common)
	h.SignMessageAuthenticator(access, 20, nil)
	counters := radius.AppendUint32(nil, radius.TypeAcctStatusType, radius.AcctInterimUpdate)
	for _, t := range []radius.Type{radius.TypeAcctInputOctets, radius.TypeAcctOutputOctets, radius.TypeAcctSessionTime, radius.TypeAcctInputGigawords, radius.TypeAcctOutputGigawords, radius.TypeEventTimestamp} {
		counters = radius.AppendUint32(counters, t, 123456)
	}
	accounting = packet(b, radius.AccountingRequest, [16]byte{}, counters, common)
	h.SignRequest(accounting)
	accept = packet(b, radius.AccessAccept, [16]byte{}, radius.AppendMessageAuthenticator(nil), radius.AppendVendor(nil, 14988, 8, []byte("10M/50M")), radius.AppendUint32(nil, radius.TypeSessionTimeout, 3600), radius.AppendUint32(nil, radius.TypeAcctInterimInterval, 300))
	h.SignMessageAuthenticator(accept, 20, &requestAuthenticator)
	h.SignResponse(accept, &requestAuthenticator)
	return h, access, accounting, accept
}

func BenchmarkCodec(b *testing.B) {
	h, access, accounting, accept := benchPackets(b)
	password, _ := access.Attributes().Get(radius.TypeUserPassword)
	chap := radius.CHAPPassword(1, []byte("correct horse"), requestAuthenticator[:])
	salted, _ := h.AppendSalted(nil, make([]byte, 32), &requestAuthenticator, 1)
	buffer := make([]byte, 0, radius.MaxLength)
	response := append(radius.Packet(nil), accept...)
	request := append(radius.Packet(nil), accounting...)
	for _, bench := range []struct {
		name string
		f    func()
	}{
		{"Parse", func() { radius.Parse(access) }},
		{"Get", func() { access.Attributes().Get(radius.TypeNASIdentifier) }},
		{"All", func() {
			for range access.Attributes().All() {
			}
		}},
		{"Vendor", func() { accept.Attributes().Vendor(14988, 8) }},
		{"Append", func() {
			p := radius.AppendHeader(buffer, radius.AccessAccept, 1, &requestAuthenticator)
			p = radius.AppendMessageAuthenticator(p)
			p = radius.AppendUint32(p, radius.TypeSessionTimeout, 3600)
			p = radius.AppendVendor(p, 14988, 8, chap[:])
			radius.SetLength(p)
		}},
		{"VerifyMessageAuthenticator", func() { h.VerifyMessageAuthenticator(access, nil) }},
		{"SignMessageAuthenticator", func() { h.SignMessageAuthenticator(response, 20, &requestAuthenticator) }},
		{"VerifyRequestAuthenticator", func() { h.VerifyRequestAuthenticator(accounting) }},
		{"SignRequest", func() { h.SignRequest(request) }},
		{"VerifyResponse", func() { h.VerifyResponse(accept, &requestAuthenticator) }},
		{"SignResponse", func() { h.SignResponse(response, &requestAuthenticator) }},
		{"AppendUserPassword", func() { h.AppendUserPassword(buffer, password, &requestAuthenticator) }},
		{"AppendEncryptedUserPassword", func() { h.AppendEncryptedUserPassword(buffer, password[:13], &requestAuthenticator) }},
		{"AppendSalted", func() { h.AppendSalted(buffer, salted[:32], &requestAuthenticator, 1) }},
		{"AppendUnsalted", func() { h.AppendUnsalted(buffer, salted, &requestAuthenticator) }},
		{"VerifyCHAP", func() { radius.VerifyCHAP(chap[:], []byte("correct horse"), requestAuthenticator[:]) }},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				bench.f()
			}
		})
	}
}
