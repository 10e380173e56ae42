package billing

import (
	"strconv"

	"github.com/google/uuid"
)

// space is the name space of the ids that are made from facts (UUIDv5, RFC 9562 5.5).
var space = uuid.MustParse("b1115e4e-0d3a-5b4c-9f57-7261646975af")

// makeID makes the id of what the parts name, the same each time.
func makeID(kind string, parts ...any) uuid.UUID {
	name := []byte(kind)
	for _, part := range parts {
		name = append(name, 0)
		switch v := part.(type) {
		case uuid.UUID:
			name = append(name, v[:]...)
		case Date:
			name = append(name, v.String()...)
		case int:
			name = strconv.AppendInt(name, int64(v), 10)
		case string:
			name = append(name, v...)
		default:
			panic("billing: an id is made of ids, days, numbers and texts")
		}
	}
	return uuid.NewSHA1(space, name)
}
