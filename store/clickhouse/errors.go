package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"

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
)

// Permanent reports whether an error of Open does not pass by waiting: somebody must
// change the configuration or the database.
func Permanent(err error) bool {
	for _, permanent := range []error{ErrSchemaOld, ErrSchemaNew, ErrRefused, ErrURL, errNoDatabase} {
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
	codeUnknownUser    = 192
	codeWrongPassword  = 193
	codeAuthentication = 516 // what newer servers say instead of both
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
		return fmt.Errorf("code %d: %s", exception.Code, exception.Message)
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, context.DeadlineExceeded) || errors.Is(err, driver.ErrAcquireConnTimeout) || errors.Is(err, driver.ErrAcquireConnNoAddress) {
		return fmt.Errorf("%w: %w", ErrUnreachable, err)
	}
	return err
}
