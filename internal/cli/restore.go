package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"radiusd/config"
	"radiusd/store"
	"radiusd/store/archive"
	"radiusd/store/seal"
)

// identityFlags say what opens a backup.
type identityFlags struct {
	files      []string
	passphrase bool
}

func (f *identityFlags) register(c *cobra.Command) {
	c.Flags().StringArrayVarP(&f.files, "identity", "i", nil, "open the backup with the secret key in `FILE` (repeated)")
	c.Flags().BoolVar(&f.passphrase, "passphrase-stdin", false, "open the backup with a passphrase from standard input, or ask on a terminal")
	_ = c.MarkFlagFilename("identity")
}

func (f *identityFlags) identities(a *app, path string) (list []age.Identity, err error) {
	switch {
	case len(f.files) == 0 && !f.passphrase:
		return nil, usagef("give --identity or --passphrase-stdin to open the backup")
	case f.passphrase && path == "-":
		return nil, usagef("standard input cannot have both the backup and the passphrase")
	case f.passphrase:
		text, err := a.readSecret("passphrase")
		if err != nil {
			return nil, err
		}
		identity, err := age.NewScryptIdentity(text)
		if err != nil {
			return nil, err
		}
		list = append(list, identity)
	}
	for _, name := range f.files {
		file, err := os.Open(name)
		if err != nil {
			return nil, fmt.Errorf("--identity %s: %w", name, reason(err))
		}
		found, err := age.ParseIdentities(file)
		file.Close()
		if err != nil {
			return nil, fmt.Errorf("--identity: %s has no secret key of age", name) // the parser's error may quote it
		}
		list = append(list, found...)
	}
	return list, nil
}

// backupFile is a backup that is read, perhaps twice.
type backupFile struct {
	*archive.Reader
	source     io.Reader
	file       *os.File // nil: standard input
	size       int64    // -1: not known
	read       int64
	report     func(read int64) // nil: nobody is told
	identities []age.Identity
}

// Read counts what is read.
func (b *backupFile) Read(p []byte) (int, error) {
	n, err := b.source.Read(p)
	b.read += int64(n)
	if b.report != nil {
		b.report(b.read)
	}
	return n, err
}

func (a *app) openBackup(path string, flags *identityFlags) (*backupFile, error) {
	identities, err := flags.identities(a, path)
	if err != nil {
		return nil, err
	}
	b := &backupFile{source: a.stdin, size: -1, identities: identities}
	if path != "-" {
		if b.file, err = os.Open(path); err != nil {
			return nil, fmt.Errorf("open %s: %w", path, reason(err))
		}
		b.source = b.file
		if info, err := b.file.Stat(); err == nil && info.Mode().IsRegular() {
			b.size = info.Size()
		}
	}
	if b.Reader, err = archive.NewReader(b, identities...); err != nil {
		b.close()
		return nil, fmt.Errorf("%s: %w", printable(path), err)
	}
	return b, nil
}

// again goes back to the beginning; false: this stream has only one.
func (b *backupFile) again() (bool, error) {
	if b.size < 0 {
		return false, nil
	}
	b.Reader.Close()
	if _, err := b.file.Seek(0, io.SeekStart); err != nil {
		return false, err
	}
	b.read = 0
	var err error
	b.Reader, err = archive.NewReader(b, b.identities...)
	return true, err
}

func (b *backupFile) close() {
	if b.Reader != nil {
		b.Reader.Close()
	}
	if b.file != nil {
		b.file.Close()
	}
}

func (a *app) verifyBackup(b *backupFile) (*archive.Manifest, error) {
	p := a.newProgress("octets checked", b.size)
	manifest, err := archive.Verify(b.Reader, func(string, int64) { p.set(b.read) })
	if err != nil {
		p.abandon()
		return nil, err
	}
	p.done(b.read)
	return manifest, nil
}

func (a *app) restoreCommand() *cobra.Command {
	flags := &identityFlags{}
	replace, yes := false, false
	c := &cobra.Command{
		Use:   "restore FILE",
		Short: "Restore the store from a backup",
		Long: `Fills the store that the configuration names from a backup, of whatever engine. FILE
may be -, for standard input. A file is checked from beginning to end first. All is
loaded in one transaction: if anything is wrong, nothing is changed.

The store must be empty, or --replace has everything in it replaced. The master key
must be in its place, unless it is in the backup, which then puts it there.

Servers that run read users, plans and NASes anew at once, and write again from
their journals what came after the backup.`,
		Example: `  radiusd restore radiusd.backup --identity backup.key
  radiusd restore radiusd.backup --identity backup.key --replace --yes
  radiusd restore radiusd.backup --passphrase-stdin --config /etc/radiusd/postgres.yaml`,
		Args:              arguments("FILE"),
		ValidArgsFunction: completeFile,
		RunE: func(c *cobra.Command, args []string) error {
			cfg, err := a.loadConfig()
			if err != nil {
				return err
			}
			for _, warning := range cfg.Warnings() {
				fmt.Fprintf(a.stderr, "warning: %s\n", warning)
			}
			b, err := a.openBackup(args[0], flags)
			if err != nil {
				return err
			}
			defer b.close()
			return a.restore(c.Context(), cfg, b, replace, yes)
		},
	}
	flags.register(c)
	c.Flags().BoolVar(&replace, "replace", false, "replace everything that the store holds")
	yesFlag(c, &yes)
	return c
}

func (a *app) restore(ctx context.Context, cfg *config.Config, b *backupFile, replace, yes bool) (err error) {
	how := store.RestoreOptions{Replace: replace}
	if b.size >= 0 {
		if _, err := a.verifyBackup(b); err != nil {
			return err
		}
		if how.Again, err = b.again(); err != nil {
			return err
		}
	}
	header := b.Header()
	if replace {
		err := a.confirm(yes, "Replace everything in the store by the backup of %s?", header.MadeAt.Format("2006-01-02 15:04:05 MST"))
		if err != nil {
			return err
		}
	}
	madeKey, err := a.placeMasterKey(cfg, b.Reader)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && madeKey != "" {
			os.Remove(madeKey)
		}
	}()
	options, _, err := storeOptions(cfg, a.logger(cfg, nil))
	if err != nil {
		return err
	}
	if zone := cfg.Location().String(); zone != header.TimeZone {
		fmt.Fprintf(a.stderr, "warning: days in the backup are of the time zone %s, and time_zone is %s\n", header.TimeZone, zone)
	}
	p := a.newProgress("octets restored", b.size)
	b.report = p.set
	manifest, err := store.Restore(ctx, options, b.Reader, how)
	if err != nil {
		p.abandon()
		if errors.Is(err, store.ErrNotEmpty) && !replace {
			return fmt.Errorf("%w: give --replace to replace everything in it", err)
		}
		return err
	}
	p.done(b.read)
	fmt.Fprintf(a.stdout, "restored %d rows of %d tables from the backup of %s\n", manifest.Rows(), len(manifest.Parts),
		header.MadeAt.Format("2006-01-02 15:04:05 MST"))
	return nil
}

// masterKeyPath is where the configuration has the master key.
func masterKeyPath(cfg *config.Config) string {
	if cfg.MasterKeyFile != "" {
		return cfg.MasterKeyFile
	}
	return filepath.Join(cfg.DataDir, masterKeyFile)
}

// placeMasterKey sees to it that the backup's master key is in its place. It returns the
// path of a file that it made for it.
func (a *app) placeMasterKey(cfg *config.Config, in *archive.Reader) (made string, err error) {
	path, wanted := masterKeyPath(cfg), in.Header().MasterKeyID
	key, err := seal.LoadKey(path)
	if err == nil {
		if id := seal.New(key).KeyID(); id != wanted {
			advice := "put the right one there"
			if in.MasterKey() != nil {
				advice = "move it away, and the backup's takes its place"
			}
			return "", fmt.Errorf("the backup's secrets are sealed under the master key %s, and %s holds %s: %s", wanted, path, id, advice)
		}
		return "", nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	if in.MasterKey() == nil {
		return "", fmt.Errorf("the backup's secrets are sealed under the master key %s, which is not in it, and there is none at %s: copy it there", wanted, path)
	}
	key, err = seal.ParseKey(in.MasterKey())
	if err != nil || seal.New(key).KeyID() != wanted {
		return "", errors.New("the master key in the backup is damaged")
	}
	if cfg.MasterKeyFile == "" {
		if err := ensureDataDir(cfg); err != nil {
			return "", err
		}
	}
	return path, seal.SaveKey(path, key)
}
