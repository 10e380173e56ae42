package testserver

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
)

// PostgresTemplate is a database that is filled once; each test gets a copy, which is
// quicker than to fill it again.
type PostgresTemplate struct {
	// Fill makes what the copies shall have. It leaves no connection behind.
	Fill func(databaseURL string) error

	once sync.Once
	name string
	err  error
}

// New returns the URL of a new copy, which is dropped when the test ends. It fails the
// test if Postgres is not installed, or if Fill failed.
func (p *PostgresTemplate) New(t testing.TB) string {
	t.Helper()
	p.once.Do(func() {
		p.err = errors.New("another test failed to make it")
		p.name = fmt.Sprintf("radiusd_template_%d_%d", os.Getpid(), databaseNumber.Add(1))
		startSharedPostgres(t)
		execute(t, "CREATE DATABASE "+p.name)
		templates.Lock()
		templates.names = append(templates.names, p.name)
		templates.Unlock()
		database := *postgresURL
		database.Path = "/" + p.name
		p.err = p.Fill(database.String())
	})
	if p.err != nil {
		t.Fatalf("the template of a Postgres database: %v", p.err)
	}
	return PostgresFrom(t, p.name)
}

// templates are what StopPostgres drops.
var templates struct {
	sync.Mutex
	names []string
}

// dropTemplates is for a server that somebody else goes on to use.
func dropTemplates() {
	templates.Lock()
	defer templates.Unlock()
	if len(templates.names) == 0 {
		return
	}
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, postgresURL.String())
	if err != nil {
		fmt.Fprintln(os.Stderr, "drop the templates:", err)
		return
	}
	defer conn.Close(ctx)
	for _, name := range templates.names {
		if _, err := conn.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			fmt.Fprintln(os.Stderr, "drop a template:", err)
		}
	}
	templates.names = nil
}
