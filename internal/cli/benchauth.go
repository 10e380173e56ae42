package cli

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	crand "crypto/rand"

	"github.com/spf13/cobra"

	"radiusd/aaa/userfile"
	"radiusd/radius"
)

// login is a user with a password.
type login struct{ name, password string }

func (a *app) benchAuthCommand() *cobra.Command {
	o := &benchOptions{target: target{a: a}}
	var method, password, usersFile, expect string
	c := &cobra.Command{
		Use:   "auth",
		Short: "Load a server with logins",
		Long: `Logs in again and again, as one user, as users from a pattern, or as the users of
a CSV file with the columns username and password. Users are taken in turn.`,
		Example: `  radiusd bench auth --user alice --password s3cret
  radiusd bench auth --users-file users.csv --concurrency 512 --duration 1m
  radiusd bench auth --user nobody --password x --expect reject --rate 1000`,
		Args:              arguments(),
		ValidArgsFunction: cobra.NoFileCompletions,
		RunE: func(c *cobra.Command, _ []string) error {
			if !slices.Contains(passwordMethods, method) {
				return usagef("--method: %q is not one of %s", method, strings.Join(passwordMethods, ", "))
			}
			want, ok := map[string]radius.Code{"accept": radius.AccessAccept, "reject": radius.AccessReject}[expect]
			if !ok {
				return usagef("--expect: %q is neither accept nor reject", expect)
			}
			if err := o.completeBench(authPort); err != nil {
				return err
			}
			logins, err := benchLogins(usersFile, o.user, password, o.users)
			if err != nil {
				return err
			}
			o.total = int64(o.count)
			left := newQuota(o.count)
			return o.runBench(c.Context(), o.servers, func(socket, _ int) (benchSource, error) {
				return newAuthSource(o, method, want, logins, socket, left), nil
			})
		},
	}
	o.benchFlags(c, 5)
	c.Flags().Uint64Var(&o.count, "count", 0, "how many requests to send (default: for --duration)")
	c.Flags().StringVar(&method, "method", "pap", "`METHOD`: "+strings.Join(passwordMethods, ", "))
	c.Flags().StringVar(&password, "password", "bench{n}", "`PASSWORD`; {n} is the user's number")
	c.Flags().StringVar(&usersFile, "users-file", "", "CSV `FILE` with the columns username and password")
	c.Flags().StringVar(&expect, "expect", "accept", "the right `ANSWER`: accept or reject")
	_ = c.MarkFlagFilename("users-file", "csv")
	completeFlag(c, "method", passwordMethods...)
	completeFlag(c, "expect", "accept", "reject")
	return c
}

// benchLogins reads the users of a file, or makes them from the patterns.
func benchLogins(path, name, password string, count int) ([]login, error) {
	if path == "" {
		logins := make([]login, count)
		for i := range logins {
			logins[i] = login{numbered(name, i+1), numbered(password, i+1)}
		}
		return logins, nil
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, reason(err))
	}
	defer file.Close()
	reader := csv.NewReader(file)
	reader.FieldsPerRecord = -1
	header, err := reader.Read()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	n, p := slices.Index(header, "username"), slices.Index(header, "password")
	if n < 0 || p < 0 {
		return nil, fmt.Errorf("%s: the first line must name the columns username and password", path)
	}
	var logins []login
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		line, _ := reader.FieldPos(0)
		if len(record) <= max(n, p) || record[n] == "" || len(record[n]) > radius.MaxValueLength || len(record[p]) > radius.MaxPasswordLength {
			return nil, fmt.Errorf("%s:%d: want a username and a password", path, line)
		}
		logins = append(logins, login{userfile.Unprotect(record[n]), userfile.Unprotect(record[p])})
	}
	if len(logins) == 0 {
		return nil, fmt.Errorf("%s has no users", path)
	}
	return logins, nil
}

// authSource makes Access-Requests.
type authSource struct {
	secret  []byte
	hasher  *radius.Hasher
	method  string
	want    radius.Code
	logins  []login
	next    int
	servers int
	users   []int // by slot
	left    *quota
	random  *rand.ChaCha8

	message  radius.Message
	password []byte
	hidden   []byte                            // the password, encrypted
	proofs   map[int]func(radius.Packet) error // by slot, for mschapv2
}

func newAuthSource(o *benchOptions, method string, want radius.Code, logins []login, socket int, left *quota) *authSource {
	var seed [32]byte
	crand.Read(seed[:]) // a Request Authenticator must never repeat (RFC 2865 section 3)
	return &authSource{
		secret: []byte(o.secret), hasher: radius.NewHasher([]byte(o.secret)), method: method, want: want,
		logins: logins, next: socket * len(logins) / max(o.sockets, 1), servers: max(len(o.servers), 1),
		users: make([]int, o.concurrency), left: left, random: rand.NewChaCha8(seed),
		proofs: map[int]func(radius.Packet) error{},
	}
}

func (s *authSource) begin(slot int, _ time.Time, ending bool) time.Duration {
	if ending || !s.left.take() {
		return -1
	}
	s.users[slot] = s.next
	s.next++
	return 0
}

func (s *authSource) encode(dst []byte, slot int, identifier uint8, _ time.Duration) ([]byte, error) {
	user := &s.logins[s.users[slot]%len(s.logins)]
	m := &s.message
	m.Code, m.Attributes = radius.AccessRequest, m.Attributes[:0]
	s.random.Read(m.Authenticator[:])
	m.AddString(radius.TypeUserName, user.name)
	if err := s.addPassword(m, slot, user); err != nil {
		return dst, err
	}
	m.AddString(radius.TypeNASIdentifier, testNASIdentifier)
	return m.AppendTo(dst, identifier, s.hasher)
}

// fate spreads requests over the servers; a request stays with its server.
func (s *authSource) fate(slot, _ int, _ time.Duration) fate {
	return fate{link: s.users[slot] % s.servers}
}

func (s *authSource) forgotten(int) bool { return false }

// addPassword is as the function of that name, without allocation for pap and
// chap.
func (s *authSource) addPassword(m *radius.Message, slot int, user *login) error {
	switch s.method {
	case "pap":
		s.password = append(s.password[:0], user.password...)
		var err error
		if s.hidden, err = s.hasher.AppendEncryptedUserPassword(s.hidden[:0], s.password, &m.Authenticator); err != nil {
			return err
		}
		m.Add(radius.TypeUserPassword, s.hidden)
		return nil
	case "chap":
		s.password = append(s.password[:0], user.password...)
		value := radius.CHAPPassword(uint8(slot), s.password, m.Authenticator[:])
		m.Add(radius.TypeCHAPPassword, value[:])
		return nil
	}
	proof, err := addPassword(m, s.method, s.secret, user.name, user.password)
	s.proofs[slot] = proof
	return err
}

func (s *authSource) answered(slot int, answer radius.Packet, authenticator *[16]byte) error {
	if err := verifyAnswer(s.hasher, answer, authenticator, true); err != nil {
		return err
	}
	if answer.Code() != s.want {
		return fmt.Errorf("%v where %v is right", answer.Code(), s.want)
	}
	if proof := s.proofs[slot]; proof != nil && answer.Code() == radius.AccessAccept {
		return proof(answer)
	}
	return nil
}

func (s *authSource) lost(int) {}
