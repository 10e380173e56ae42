package billing

// FieldError says what is wrong with one field of what somebody has entered. Several of
// them come joined.
type FieldError struct {
	Field   string // as in the tables and the API
	Message string // a sentence for the person who entered it
}

// Error returns the message.
func (e *FieldError) Error() string { return e.Message }
