package aaa

import (
	"errors"
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"radiusd/dictionary"
)

func TestValidateNamesTheField(t *testing.T) {
	dict := dictionary.Embedded()
	good, bad := replyItem("Filter-Id", "=", "x"), replyItem("Nonsense", "=", "x")
	password := Credential{Scheme: SchemeCleartext, Secret: []byte("x")}
	nas := NAS{Prefix: netip.MustParsePrefix("192.0.2.1/32"), Secret: []byte("x")}
	unmasked := nas
	unmasked.Prefix = netip.MustParsePrefix("192.0.2.1/24")
	for name, tt := range map[string]struct {
		err    error
		fields []string
	}{
		"good user":          {(&User{Name: "alice", Credential: password, Items: []Item{good}}).Validate(dict), nil},
		"items of a user":    {(&User{Name: "alice", Items: []Item{bad, good, bad, bad}}).Validate(dict), []string{"items[0]", "items[2]", "items[3]"}},
		"no dictionary":      {(&User{Name: "alice", Items: []Item{bad}}).Validate(nil), nil},
		"password":           {(&User{Name: "alice", Credential: Credential{Scheme: SchemeCleartext}}).Validate(nil), []string{"credential"}},
		"device":             {(&User{Name: "02:00:00:00:00:0a", Credential: Credential{Scheme: SchemeMAC}}).Validate(nil), nil},
		"device, as sent":    {(&User{Name: "02-00-00-00-00-0A", Credential: Credential{Scheme: SchemeMAC}}).Validate(nil), []string{"username"}},
		"no device":          {(&User{Name: "alice", Credential: Credential{Scheme: SchemeMAC}}).Validate(nil), []string{"username"}},
		"plan":               {(&Plan{Name: "gold", IPv6Pool: "p", DelegatedIPv6Pool: "p", SessionTimeout: -time.Second}).Validate(dict), []string{"session_timeout", "delegated_ipv6_pool"}},
		"part of a second":   {(&Plan{Name: "gold", IdleTimeout: time.Millisecond}).Validate(dict), []string{"idle_timeout"}},
		"group":              {(&Group{Items: []Item{bad}}).Validate(dict), []string{"name", "items[0]"}},
		"text in an item":    {(&Group{Name: "x", Items: []Item{good, replyItem("Filter-Id", "=", "\xff")}}).Validate(dict), []string{"items[1]"}},
		"good NAS":           {nas.Validate(), nil},
		"bits beyond":        {unmasked.Validate(), []string{"address"}},
		"profile with a NUL": {(&Profile{Note: "a\x00"}).Validate(&Profile{}), []string{"note"}},
		"profile":            {(&Profile{FullName: "Anna", Email: "anna@example.org"}).Validate(&Profile{}), nil},
		"no e-mail":          {(&Profile{Phone: "1", Email: "anna", Note: "\xff"}).Validate(&Profile{}), []string{"email", "note"}},
		"not text either":    {(&Profile{Email: "\xff"}).Validate(&Profile{Email: "anna"}), []string{"email"}},
		"an e-mail of old":   {(&Profile{Phone: "2", Email: "anna"}).Validate(&Profile{Phone: "1", Email: "anna"}), nil},
		"another such":       {(&Profile{Email: "Anna <anna@example.org>"}).Validate(&Profile{Email: "anna"}), []string{"email"}},
	} {
		var fields []string
		for _, e := range FieldErrors(fmt.Errorf("save: %w", errors.Join(tt.err))) {
			fields = append(fields, e.Field)
			assert.NotEmpty(t, e.Message, name)
		}
		assert.Equal(t, tt.fields, fields, name)
		assert.Equal(t, tt.fields == nil, tt.err == nil, name)
	}
	require.Empty(t, FieldErrors(errors.New("another kind")))
}
