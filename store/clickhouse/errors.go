package clickhouse

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"

	driver "github.com/ClickHouse/clickhouse-go/v2"
)

// What a caller may have to tell apart.
var (
	// ErrUnreachable means that no server answers; later one may.
	ErrUnreachable = errors.New("the server cannot be reached")
	// ErrSchemaOld means that the database must be migrated first.
	ErrSchemaOld = errors.New("the database has an older schema: run radiusd migrate up")
	// ErrSchemaNew means that a newer radiusd has migrated the database.
	ErrSchemaNew = errors.New("the database has a newer schema than this radiusd knows: install the newer version")

	// ErrRefused means that the server does not know the user or the password.
	ErrRefused = errors.New("the user or password in the URL is wrong")
	// ErrURL means that the URL cannot be used. The message does not repeat it, as it
	// may hold a password.
	ErrURL = errors.New("the URL cannot be used: want clickhouse://user:password@host:9000/database")

	errNoDatabase = errors.New("there is no such database: run radiusd migrate up")
	errNoCluster  = errors.New("the server knows no such cluster: clickhouse.cluster must be a name in its remote_servers")
	errOneServer  = errors.New("the tables in this database are those of a single server: leave clickhouse.cluster empty, or name a new database")
	errOfCluster  = errors.New("the tables in this database are those of a cluster: set clickhouse.cluster to its name")
)

// Permanent reports whether an error of Open does not pass by waiting: somebody must
// change the configuration or the database.
func Permanent(err error) bool {
	for _, permanent := range []error{ErrSchemaOld, ErrSchemaNew, ErrRefused, ErrURL, errNoDatabase, errNoCluster, errOneServer, errOfCluster} {
		if errors.Is(err, permanent) {
			return true
		}
	}
	return false
}

// Codes of the server's exceptions.
const (
	codeNoTable        = 60
	codeNoDatabase     = 81
	codeBadGet         = 170 // what older servers say of an unknown cluster
	codeUnknownUser    = 192
	codeWrongPassword  = 193
	codeAuthentication = 516 // what newer servers say instead of both
	codeNoCluster      = 701
)

// isCode reports whether the server has answered with an exception of this code.
func isCode(err error, code int32) bool {
	var exception *driver.Exception
	return errors.As(err, &exception) && exception.Code == code
}

// explain makes an operator's error of the driver's: what was said by a server
// stands as it is, without its stack trace, and silence is ErrUnreachable.
func explain(err error) error {
	if err == nil || errors.Is(err, ErrUnreachable) || errors.Is(err, context.Canceled) {
		return err
	}
	var exception *driver.Exception
	if errors.As(err, &exception) {
		switch exception.Code {
		case codeUnknownUser, codeWrongPassword, codeAuthentication:
			return fmt.Errorf("%w (code %d)", ErrRefused, exception.Code)
		}
		if exception.Code == codeNoCluster || exception.Code == codeBadGet && strings.Contains(exception.Message, "cluster") {
			return fmt.Errorf("%w (code %d: %s)", errNoCluster, exception.Code, exception.Message)
		}
		return fmt.Errorf("code %d: %s", exception.Code, exception.Message)
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, driver.ErrAcquireConnTimeout) || errors.Is(err, driver.ErrAcquireConnNoAddress) {
		return fmt.Errorf("%w: %w", ErrUnreachable, plain(err))
	}
	return err
}

// plain leaves out of an error what differs from one attempt to the next, our own port
// and the number of a connection, so that it can be told whether it is still the same.
func plain(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		cut := *op
		cut.Source = nil
		return &cut
	}
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("it has closed the connection")
	}
	return err
}

// advisePort adds to the error of a first contact what it mostly means if somebody
// listens there, and does not speak as expected.
func advisePort(err error) error {
	var op *net.OpError
	if errors.As(err, &op) && op.Op == "dial" {
		return err
	}
	if errors.As(err, new(tls.RecordHeaderError)) || errors.Is(err, ErrUnreachable) {
		return fmt.Errorf("%w (the port must be that of the native protocol, 9000 or with secure=true 9440, not HTTP's)", err)
	}
	return err
}
