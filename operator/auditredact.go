package operator

import (
	"crypto/hmac"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
)

// ActionErase is the action of an entry that says that a person was erased. Its Changes
// are a Redaction.
const ActionErase = "users.erase"

// Redaction is the Changes of an entry with ActionErase: the entries that were blanked.
type Redaction struct {
	Entries []uint64 `json:"redacted,omitempty"`
}

// ContentMAC returns the MAC of what an entry says of somebody: EntityName and Changes.
// Hash is over it rather than over these, so they can be blanked without that the chain
// breaks; without the key it tells nothing of them.
func (c AuditChain) ContentMAC(e *AuditEntry) [32]byte {
	b := append([]byte("radiusd audit content 1\x00"), e.ID[:]...)
	for _, text := range []string{e.EntityName, string(e.Changes)} {
		b = append(binary.AppendUvarint(b, uint64(len(text))), text...)
	}
	return c.sum(b)
}

// redactions are blanked entries for which no entry has been found yet that says so.
type redactions map[uint64]bool

// content checks what an entry says, and whether it may be blank.
func (v *AuditVerifier) content(e *AuditEntry) error {
	if e.ContentMAC == ([32]byte{}) {
		if e.Redacted {
			return &AuditError{e.Seq, "was blanked"}
		}
		return nil
	}
	if e.Redacted {
		if v.redacted == nil {
			v.redacted = redactions{}
		}
		v.redacted[e.Seq] = true
		return nil
	}
	if mac := v.chain.ContentMAC(e); !hmac.Equal(mac[:], e.ContentMAC[:]) {
		return &AuditError{e.Seq, "was changed"}
	}
	if e.Action != ActionErase {
		return nil
	}
	var said Redaction
	if err := json.Unmarshal(e.Changes, &said); err != nil {
		return &AuditError{e.Seq, fmt.Sprintf("cannot be read: %v", err)}
	}
	for _, seq := range said.Entries {
		delete(v.redacted, seq)
	}
	return nil
}

// unsaid reports the first entry that was blanked without that an erasure says so.
func (v *AuditVerifier) unsaid() error {
	if len(v.redacted) == 0 {
		return nil
	}
	var list []uint64
	for seq := range v.redacted {
		list = append(list, seq)
	}
	return &AuditError{slices.Min(list), "was blanked, and no erasure says so"}
}
