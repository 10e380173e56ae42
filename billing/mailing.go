package billing

import (
	"time"

	"github.com/google/uuid"
)

// Mailing is a mail about an invoice, and what became of it. There is one of each purpose
// to each address.
type Mailing struct {
	ID        uuid.UUID // UUIDv7
	InvoiceID uuid.UUID
	Number    string // of the invoice; not written
	UserID    uuid.UUID
	Username  string // as the user is called now; not written
	Purpose   string // invoice, credit_note, or overdue_7 for the reminder after so many days
	Recipient string // an address; empty: there was none
	State     MailingState
	Attempts  int
	Error     string // of the last attempt
	Details   MailDetails
	CreatedAt time.Time
	UpdatedAt time.Time
	// NextAt is when it is tried next, or when whoever sends it is taken to be gone; zero:
	// never.
	NextAt time.Time
	SentAt time.Time // when the server took it; zero: not yet
}

// The time between the first attempt to send a mail and the second, which doubles with
// each one, and the longest.
const (
	MailPause        = 10 * time.Second
	LongestMailPause = time.Hour
)

// Fail notes that an attempt has failed, and may succeed later.
func (m *Mailing) Fail(reason string, now time.Time) {
	pause := MailPause
	for n := 1; n < m.Attempts && pause < LongestMailPause; n++ {
		pause *= 2
	}
	m.State, m.Error, m.NextAt = MailWaiting, reason, now.Add(min(pause, LongestMailPause))
}

// MailDetails are what the text of a reminder needs to know.
type MailDetails struct {
	Reminder    int  `json:"reminder,omitempty"` // which text: 1, 2, …; zero: it is no reminder
	DaysOverdue int  `json:"days_overdue,omitempty"`
	ActOn       Date `json:"act_on,omitzero"` // when service is refused if nothing is paid
}

// MailingState says what became of a mail.
type MailingState string

// The states of mails.
const (
	MailWaiting   MailingState = "waiting"
	MailSending   MailingState = "sending"
	MailSent      MailingState = "sent"
	MailRefused   MailingState = "refused" // for good, by the server
	MailDropped   MailingState = "dropped" // a reminder of what was paid meanwhile
	MailNoAddress MailingState = "no_address"
)

// MailingStates returns all of them.
func MailingStates() []MailingState {
	return []MailingState{MailWaiting, MailSending, MailSent, MailRefused, MailDropped, MailNoAddress}
}
