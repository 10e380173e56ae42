package aaa

// Profile is personal data of a user, apart from credentials. Nothing on the
// network reads it.
type Profile struct {
	FullName string
	Email    string
	Phone    string
	Address  string
	Note     string
}

// ProfileField is one field of a profile.
type ProfileField struct {
	Name  string // as in the tables and the API
	Value *string
	most  int // octets
}

// Fields returns the fields of the profile, which they point into.
func (p *Profile) Fields() [5]ProfileField {
	return [...]ProfileField{
		{"full_name", &p.FullName, 1000},
		{"email", &p.Email, 1000},
		{"phone", &p.Phone, 1000},
		{"address", &p.Address, 10_000},
		{"note", &p.Note, 10_000},
	}
}
