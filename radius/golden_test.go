package radius_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"radiusd/radius"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// golden is a packet from a standard or from another implementation: name.hex has
// its octets and name.json what is in them.
type golden struct {
	Source               string   `json:"source"`
	Secret               string   `json:"secret"`
	Request              string   `json:"request"` // for a response, the packet it answers
	Code                 uint8    `json:"code"`
	Identifier           uint8    `json:"identifier"`
	Attributes           []string `json:"attributes"` // type:hex
	User                 string   `json:"user"`
	Password             string   `json:"password"`
	CHAPPassword         string   `json:"chap_password"`
	MessageAuthenticator string   `json:"message_authenticator"`
	TunnelPassword       string   `json:"tunnel_password"`
	MPPESendKey          string   `json:"mppe_send_key"`
	MPPERecvKey          string   `json:"mppe_recv_key"`
	AscendSendSecret     string   `json:"ascend_send_secret"`

	octets []byte
}

// goldens returns all golden packets by name.
func goldens(t testing.TB) map[string]*golden {
	t.Helper()
	files, err := filepath.Glob("../testdata/packets/*.json")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	all := make(map[string]*golden)
	for _, file := range files {
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		g := new(golden)
		d := json.NewDecoder(bytes.NewReader(text))
		d.DisallowUnknownFields()
		require.NoError(t, d.Decode(g), file)
		text, err = os.ReadFile(strings.TrimSuffix(file, ".json") + ".hex")
		require.NoError(t, err)
		g.octets, err = hex.DecodeString(strings.Join(strings.Fields(string(text)), ""))
		require.NoError(t, err, file)
		all[strings.TrimSuffix(filepath.Base(file), ".json")] = g
	}
	return all
}

func TestGolden(t *testing.T) {
	all := goldens(t)
	results := map[string]radius.MessageAuthenticatorResult{
		"absent":  radius.MessageAuthenticatorAbsent,
		"valid":   radius.MessageAuthenticatorValid,
		"invalid": radius.MessageAuthenticatorInvalid,
	}
	for name, g := range all {
		t.Run(name, func(t *testing.T) {
			p, discard := radius.Parse(g.octets)
			require.Zero(t, discard)
			assert.Equal(t, radius.Code(g.Code), p.Code())
			assert.Equal(t, g.Identifier, p.Identifier())
			assert.Equal(t, g.octets, []byte(p))

			attributes := []string{}
			for typ, value := range p.Attributes().All() {
				attributes = append(attributes, fmt.Sprintf("%d:%x", typ, value))
			}
			assert.Equal(t, g.Attributes, attributes)
			if g.User != "" {
				user, ok := p.Attributes().String(radius.TypeUserName)
				assert.True(t, ok)
				assert.Equal(t, g.User, user)
			}

			h := radius.NewHasher([]byte(g.Secret))
			wrong := radius.NewHasher([]byte(g.Secret + "x"))
			authenticator := p.Authenticator()
			if g.Request != "" {
				request, _ := radius.Parse(all[g.Request].octets)
				require.NotNil(t, request)
				authenticator = request.Authenticator()
				assert.True(t, h.VerifyResponse(p, authenticator))
				assert.False(t, wrong.VerifyResponse(p, authenticator))

				signed := bytes.Clone(p)
				clear(signed[4:20])
				h.SignResponse(signed, authenticator)
				assert.Equal(t, g.octets, signed)
			}
			switch p.Code() {
			case radius.AccountingRequest, radius.CoARequest, radius.DisconnectRequest:
				assert.True(t, h.VerifyRequestAuthenticator(p))
				assert.False(t, wrong.VerifyRequestAuthenticator(p))
				signed := bytes.Clone(p)
				clear(signed[4:20])
				h.SignRequest(signed)
				assert.Equal(t, g.octets, signed)
			}

			assert.Equal(t, results[g.MessageAuthenticator], h.VerifyMessageAuthenticator(p, authenticator))
			if g.MessageAuthenticator == "valid" {
				assert.Equal(t, radius.MessageAuthenticatorInvalid, wrong.VerifyMessageAuthenticator(p, authenticator))
				signed := bytes.Clone(p)
				at := offset(signed, radius.TypeMessageAuthenticator)
				clear(signed[at+2 : at+18])
				h.SignMessageAuthenticator(signed, at, authenticator)
				assert.Equal(t, g.octets, signed)
			}

			if g.Password != "" {
				value, ok := p.Attributes().Get(radius.TypeUserPassword)
				require.True(t, ok)
				plain, ok := h.AppendUserPassword(nil, value, authenticator)
				assert.True(t, ok)
				assert.Equal(t, g.Password, string(plain))
				again, err := h.AppendEncryptedUserPassword(nil, plain, authenticator)
				require.NoError(t, err)
				assert.Equal(t, value, again)
			}
			if g.CHAPPassword != "" {
				value, ok := p.Attributes().Get(radius.TypeCHAPPassword)
				require.True(t, ok)
				assert.True(t, radius.VerifyCHAP(value, []byte(g.CHAPPassword), p.CHAPChallenge()))
				assert.False(t, radius.VerifyCHAP(value, []byte(g.CHAPPassword+"x"), p.CHAPChallenge()))
				again := radius.CHAPPassword(value[0], []byte(g.CHAPPassword), p.CHAPChallenge())
				assert.Equal(t, value, again[:])
			}
			salted := func(want string, value []byte, ok bool) {
				t.Helper()
				require.True(t, ok)
				plain, ok := h.AppendUnsalted(nil, value, authenticator)
				require.True(t, ok)
				assert.Equal(t, want, string(plain))
				again, err := h.AppendSalted(nil, plain, authenticator, uint16(value[0])<<8|uint16(value[1]))
				require.NoError(t, err)
				assert.Equal(t, value, again)
			}
			if g.TunnelPassword != "" {
				value, ok := p.Attributes().Get(radius.TypeTunnelPassword)
				salted(g.TunnelPassword, value[1:], ok) // after the tag
			}
			if g.MPPESendKey != "" {
				want, _ := hex.DecodeString(g.MPPESendKey)
				value, ok := p.Attributes().Vendor(311, 16)
				salted(string(want), value, ok)
				want, _ = hex.DecodeString(g.MPPERecvKey)
				value, ok = p.Attributes().Vendor(311, 17)
				salted(string(want), value, ok)
			}
			if g.AscendSendSecret != "" {
				value, ok := p.Attributes().Vendor(529, 214)
				require.True(t, ok)
				plain, ok := h.AppendPlainAscendSecret(nil, value, authenticator)
				assert.True(t, ok)
				assert.Equal(t, g.AscendSendSecret, string(plain))
				again, err := h.AppendAscendSecret(nil, plain, authenticator)
				require.NoError(t, err)
				assert.Equal(t, value, again)
			}
		})
	}
}

// FreeRADIUS computes the Message-Authenticator of an Accounting-Response over
// zeros, where no RFC says over what; see docs/rfc-notes.md.
func TestGoldenAccountingResponseOverZeros(t *testing.T) {
	g := goldens(t)["freeradius-accounting-response"]
	p, discard := radius.Parse(g.octets)
	require.Zero(t, discard)
	h := radius.NewHasher([]byte(g.Secret))
	assert.Equal(t, radius.MessageAuthenticatorValid, h.VerifyMessageAuthenticator(p, new([16]byte)))
}

// offset returns where the first attribute of the type begins.
func offset(p []byte, t radius.Type) int {
	for i := radius.HeaderLength; i < len(p); i += int(p[i+1]) {
		if radius.Type(p[i]) == t {
			return i
		}
	}
	panic("no such attribute")
}
