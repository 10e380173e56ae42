package operator

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/binary"
	"fmt"
)

// AuditChain makes and checks the hashes that hold the audit log together. The hash
// of an entry is HMAC-SHA256, under a key that the database does not have, over all
// its columns and the hash of the entry before. The end of the log is kept in a row
// of its own, the head, and where retention has cut off its beginning in another,
// the anchor, both with a MAC.
type AuditChain struct{ key [32]byte }

// NewAuditChain returns a chain under a key, which is derived from the master key.
func NewAuditChain(key [32]byte) AuditChain { return AuditChain{key} }

// The rows beside the log that say where it begins and ends.
const (
	AuditHead   = "head"
	AuditAnchor = "anchor"
)

// Hash returns the hash of an entry, over everything but its Hash. The entry must be
// as it comes out of the database: At in microseconds, Actor.Addr unmapped and
// without a zone.
func (c AuditChain) Hash(e *AuditEntry) [32]byte {
	b := make([]byte, 0, 512+len(e.Changes))
	content := [2]string{e.EntityName, string(e.Changes)}
	b = append(b, "radiusd audit entry 1\x00"...)
	if e.ContentMAC != ([32]byte{}) {
		b = append(b[:0], "radiusd audit entry 2\x00"...)
		content = [2]string{string(e.ContentMAC[:])}
	}
	b = binary.BigEndian.AppendUint64(b, e.Seq)
	b = append(b, e.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, uint64(e.At.UnixMicro()))
	addr := ""
	if e.Actor.Addr.IsValid() {
		addr = e.Actor.Addr.String()
	}
	b = append(append(b, e.Actor.ID[:]...), e.EntityID[:]...)
	for _, text := range []string{e.Actor.Kind.String(), e.Actor.Name, e.Actor.RequestID, addr, e.Action, e.EntityKind, content[0], content[1]} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	return c.sum(append(b, e.PrevHash[:]...))
}

// MAC signs a mark under the name of the row that holds it.
func (c AuditChain) MAC(row string, m AuditMark) [32]byte {
	b := append([]byte("radiusd audit mark 1\x00"), row...)
	b = binary.BigEndian.AppendUint64(append(b, 0), m.Seq)
	return c.sum(append(b, m.Hash[:]...))
}

// Genesis is the hash before the first entry.
func (c AuditChain) Genesis() [32]byte { return c.sum([]byte("radiusd audit genesis 1\x00")) }

// Broken is the hash that an entry follows which was written when the head was
// missing or not in order: it follows nothing, and Verifier says so.
func (c AuditChain) Broken() [32]byte { return c.sum([]byte("radiusd audit broken 1\x00")) }

func (c AuditChain) sum(b []byte) (sum [32]byte) {
	mac := hmac.New(sha256.New, c.key[:])
	mac.Write(b)
	return [32]byte(mac.Sum(nil))
}

// SignedMark is a row beside the log as it is found. The zero value: there is none.
type SignedMark struct {
	AuditMark
	MAC [32]byte
}

// Valid reports whether the mark was made by this chain for the row.
func (c AuditChain) Valid(row string, m SignedMark) bool {
	want := c.MAC(row, m.AuditMark)
	return subtle.ConstantTimeCompare(want[:], m.MAC[:]) == 1
}

// AuditVerifier checks a log entry by entry. All its errors are *AuditError.
type AuditVerifier struct {
	chain  AuditChain
	last   AuditMark
	expect AuditMark // zero: nothing
	// redacted are the blanked entries that nothing has been said of yet.
	redacted redactions
	head     SignedMark
	report   AuditReport
}

// Verifier begins to check a log with this head and anchor; zero ones: there are
// none. expect is the mark of an earlier verification, or zero.
func (c AuditChain) Verifier(anchor, head SignedMark, expect AuditMark) (*AuditVerifier, error) {
	v := &AuditVerifier{chain: c, head: head, expect: expect, last: AuditMark{Hash: c.Genesis()}}
	if anchor != (SignedMark{}) {
		if !c.Valid(AuditAnchor, anchor) {
			return nil, &AuditError{anchor.Seq, "is said to be the last one that retention has deleted, which radiusd did not write: the anchor was changed"}
		}
		v.last = anchor.AuditMark
		if expect != (AuditMark{}) && expect.Seq == anchor.Seq {
			if expect != anchor.AuditMark {
				return nil, v.unexpected()
			}
		}
	}
	v.report.First = v.last.Seq + 1
	return v, nil
}

// Add checks the next entry in the order of Seq.
func (v *AuditVerifier) Add(e *AuditEntry) error {
	want := v.last.Seq + 1
	switch {
	case e.Seq < want:
		return &AuditError{e.Seq, "should not be there: it was inserted before the log's beginning"}
	case e.Seq > want && e.Seq == want+1:
		return &AuditError{want, "is missing: it was deleted"}
	case e.Seq > want:
		return &AuditError{want, fmt.Sprintf("is missing, and all up to %d: they were deleted", e.Seq-1)}
	}
	hash := v.chain.Hash(e)
	if !hmac.Equal(hash[:], e.Hash[:]) {
		if v.chain.Valid(AuditHead, v.head) && e.Seq > v.head.Seq {
			return &AuditError{e.Seq, "was not written by radiusd: it was inserted after the log's end"}
		}
		return &AuditError{e.Seq, "was changed"}
	}
	switch {
	case e.PrevHash == v.chain.Broken():
		return &AuditError{e.Seq, "was written when the end of the log was not in order: entries before it may be missing"}
	case e.PrevHash != v.last.Hash:
		return &AuditError{e.Seq, "does not follow the one before it: entries were exchanged"}
	}
	if err := v.content(e); err != nil {
		return err
	}
	v.last = AuditMark{e.Seq, e.Hash}
	v.report.Entries++
	if v.expect.Seq == e.Seq && v.expect != v.last {
		return v.unexpected()
	}
	return nil
}

// End checks that the log ends where it should.
func (v *AuditVerifier) End() (AuditReport, error) {
	v.report.Head = v.last
	switch {
	case v.head == SignedMark{} && v.last.Seq == 0 && v.expect == AuditMark{}:
		return v.report, nil // nothing was ever written
	case v.head == SignedMark{}:
		return v.report, &AuditError{v.last.Seq, "is the last one found, but the head that says so is missing: entries after it may have been deleted"}
	case !v.chain.Valid(AuditHead, v.head):
		return v.report, &AuditError{v.head.Seq, "is said to be the last one, which radiusd did not write: the head was changed"}
	case v.head.Seq > v.last.Seq+1:
		return v.report, &AuditError{v.last.Seq + 1, fmt.Sprintf("is missing, and all up to %d: the end of the log was cut off", v.head.Seq)}
	case v.head.Seq == v.last.Seq+1:
		return v.report, &AuditError{v.head.Seq, "is missing: the end of the log was cut off"}
	case v.head.AuditMark != v.last:
		return v.report, &AuditError{v.last.Seq, fmt.Sprintf("is not the last one that the head names, which is %d: the head was put back", v.head.Seq)}
	case v.expect.Seq > v.last.Seq:
		return v.report, &AuditError{v.last.Seq + 1, fmt.Sprintf("is missing, and all up to %d which an earlier verification has seen: the log was put back", v.expect.Seq)}
	}
	return v.report, v.unsaid()
}

func (v *AuditVerifier) unexpected() error {
	return &AuditError{v.expect.Seq, "is another one than an earlier verification has seen: the log was put back and written anew"}
}
