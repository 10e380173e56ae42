package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/google/uuid"

	"radiusd/config"
	"radiusd/dictionary"
	"radiusd/store"
	"radiusd/store/seal"
)

// What is in data_dir.
const (
	databaseFile  = "radiusd.db"
	masterKeyFile = "master.key"
	nodeIDFile    = "node_id"
	journalDir    = "journal"
)

// openDictionary returns the embedded dictionary with the configured files on
// top.
func openDictionary(c *config.Config) (*dictionary.Dictionary, error) {
	d := dictionary.Embedded()
	if len(c.Dictionary.Files) == 0 {
		return d, nil
	}
	d, err := d.WithFiles(c.Dictionary.Files...)
	if err != nil {
		return nil, fmt.Errorf("load the dictionary: %w", err)
	}
	return d, nil
}

// ensureDataDir makes data_dir, for its owner only, and checks that files can be
// made in it.
func ensureDataDir(c *config.Config) error {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return fmt.Errorf("make data_dir %s: %w", c.DataDir, reason(err))
	}
	probe, err := os.CreateTemp(c.DataDir, ".writable-*")
	if err != nil {
		return fmt.Errorf("data_dir %s is not writable: %w", c.DataDir, reason(err))
	}
	probe.Close()
	if err := os.Remove(probe.Name()); err != nil {
		return fmt.Errorf("data_dir %s is not writable: %w", c.DataDir, reason(err))
	}
	return nil
}

// reason leaves the operation and the path out of an error that names them
// otherwise.
func reason(err error) error {
	var pathErr *fs.PathError
	if errors.As(err, &pathErr) {
		return pathErr.Err
	}
	return err
}

// openNodeID returns the id that tells this node from others on the same store.
// It is made on first start and kept in data_dir, beside the journal it names.
func openNodeID(c *config.Config) (string, error) {
	if err := ensureDataDir(c); err != nil {
		return "", err
	}
	path := filepath.Join(c.DataDir, nodeIDFile)
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		content = []byte(uuid.Must(uuid.NewV7()).String() + "\n")
		err = writeOnce(path, content)
		if errors.Is(err, fs.ErrExist) { // another process was faster
			content, err = os.ReadFile(path)
		}
	}
	if err != nil {
		return "", fmt.Errorf("node id in %s: %w", path, reason(err))
	}
	id, err := uuid.Parse(strings.TrimSpace(string(content)))
	if err != nil {
		return "", fmt.Errorf("node id in %s is not a UUID: restore the file; a new id would count accounting twice that is still in the journal", path)
	}
	return id.String(), nil
}

// writeOnce makes a file that is complete or not there, also after a power cut.
// The error is [fs.ErrExist] if there is one already.
func writeOnce(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer os.Remove(file.Name())
	_, err = file.Write(content)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Link(file.Name(), path); err != nil {
		var link *os.LinkError
		if errors.As(err, &link) {
			return link.Err
		}
		return err
	}
	return nil
}

// openStore opens the store that the configuration names. The embedded one is
// made if it is missing and brought up to date; Postgres only if migrate says so.
// log may be nil.
func openStore(ctx context.Context, c *config.Config, nodeID string, migrate bool, log *slog.Logger) (*store.Store, error) {
	options, madeKey, err := storeOptions(c, log)
	if err != nil {
		return nil, err
	}
	return openStoreWith(ctx, options, madeKey, nodeID, migrate)
}

// openStoreWith is openStore with the options that storeOptions gave.
func openStoreWith(ctx context.Context, options store.Options, madeKey, nodeID string, migrate bool) (*store.Store, error) {
	options.NodeID = nodeID
	options.AutoMigrate = migrate || options.URL == ""
	s, err := store.Open(ctx, options)
	if err != nil && madeKey != "" && errors.Is(err, seal.ErrWrongKey) {
		// The database has another key than the one that was just made here.
		os.Remove(madeKey)
		return nil, errNoMasterKey(madeKey, "this database")
	}
	if madeKey != "" && errors.Is(err, store.ErrUnreachable) {
		// Nothing was sealed under it, and later it would look like the right one.
		os.Remove(madeKey)
	}
	return s, err
}

// errNoMasterKey is for a key file that is missing though something was sealed
// under it.
func errNoMasterKey(path, what string) error {
	return fmt.Errorf("there is no master key at %s, and %s needs the one it was begun with: copy that file from another node or from the backup", path, what)
}

// storeOptions turns the configuration into the store's options, and makes
// data_dir and the master key if they are missing. madeKey is the path of a key
// that was made.
func storeOptions(c *config.Config, log *slog.Logger) (options store.Options, madeKey string, err error) {
	path := masterKeyPath(c)
	if c.MasterKeyFile == "" || c.Store.URL == "" {
		if err := ensureDataDir(c); err != nil {
			return options, "", err
		}
	}
	key, created, err := seal.LoadOrCreateKey(path)
	if err != nil {
		return options, "", err
	}
	if created {
		madeKey = path
		if log != nil {
			log.Info("made a new master key: keep a copy of it", "path", path)
		}
	}
	options = store.Options{
		URL:      storeURL(c),
		Path:     filepath.Join(c.DataDir, databaseFile),
		Sealer:   seal.New(key),
		Location: c.Location(),
		Logger:   log,
	}
	return options, madeKey, nil
}

// storeURL adds the pool's size to the URL of Postgres, unless it is there. What is
// before the query may name several hosts, which net/url does not take.
func storeURL(c *config.Config) string {
	const parameter = "pool_max_conns"
	text, rest, _ := strings.Cut(c.Store.URL, "?")
	query, err := url.ParseQuery(rest)
	if text == "" || err != nil || query.Has(parameter) {
		return c.Store.URL
	}
	query.Set(parameter, strconv.Itoa(c.Store.MaxConnections))
	return text + "?" + query.Encode()
}

// withStore runs a data command on the configured store.
func (a *app) withStore(ctx context.Context, fn func(c *config.Config, s *store.Store) error) error {
	c, err := a.loadConfig()
	if err != nil {
		return err
	}
	for _, warning := range c.Warnings() { // a misspelt RADIUSD_STORE_URL is another store
		fmt.Fprintf(a.stderr, "warning: %s\n", warning)
	}
	s, err := openStore(ctx, c, "", false, a.logger(c, nil))
	if err != nil {
		return err
	}
	defer s.Close()
	return fn(c, s)
}
