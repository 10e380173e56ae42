package store

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/assert"
)

func TestExplainPostgres(t *testing.T) {
	for code, want := range map[string]string{
		"28P01": "wrong user name or password: ",
		"28000": "the server does not let this user in, see its pg_hba.conf: ",
		"3D000": "there is no such database, create it first: ",
		"42501": "the user lacks a privilege: ",
		"53300": "the server has no connection left: ",
		"57P03": "the server is starting or stopping: ",
		"53100": "the server's disk is full: ",
		"25006": "the server is a standby, name the primary: ",
		"XX000": "",
	} {
		err := fmt.Errorf("wrapped: %w", &pgconn.PgError{Severity: "FATAL", Code: code, Message: "m"})
		explained := (&Store{}).explain(err)
		assert.Equal(t, want+err.Error(), explained.Error())
		assert.True(t, errors.Is(explained, err))
		again := fmt.Errorf("create user: %w", explained)
		assert.Equal(t, again, (&Store{}).explain(again), "once is enough")
	}
}

func TestShouldRetry(t *testing.T) {
	for code, want := range map[string]bool{"40001": true, "40P01": true, "23505": false, "57014": false} {
		assert.Equal(t, want, shouldRetry(fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code})), code)
	}
	unique := &pgconn.PgError{Code: "23505"}
	assert.True(t, shouldRetry(fmt.Errorf("wrapped: %w", retryOnUnique(unique))), "a row that somebody else has inserted")
	assert.NoError(t, retryOnUnique(nil))
}
