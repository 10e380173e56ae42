package cli

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"radiusd/config"
	"radiusd/store"
	"radiusd/store/archive"
	"radiusd/store/seal"
)

func (a *app) backupCommand() *cobra.Command {
	var recipients []string
	passphrase, withKey := false, false
	c := &cobra.Command{
		Use:   "backup FILE",
		Short: "Back up the store",
		Long: `Writes everything that the store holds, as it is at one moment, to FILE, or to
standard output if FILE is -. The server may run meanwhile, and no disk space is
needed but that of FILE, which replaces one of that name when it is complete.

The backup is compressed, and always encrypted: for the keys of --recipient, which
"radiusd backup keygen" and age-keygen make, or with a passphrase. Passwords and
NAS secrets in it are sealed under the master key as well, which it does not hold
unless --with-master-key says so. Journals, ClickHouse and Redis are not in it.

It can be restored into either engine: a backup of SQLite into Postgres moves an
installation there.`,
		Example: `  radiusd backup keygen backup.key
  radiusd backup radiusd.backup --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p
  radiusd backup radiusd.backup --passphrase-stdin --with-master-key < passphrase
  radiusd backup verify radiusd.backup --identity backup.key
  radiusd backup - --recipient age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p > /mnt/radiusd.backup`,
		Args:              arguments("FILE"),
		ValidArgsFunction: completeFile,
		RunE: func(c *cobra.Command, args []string) error {
			keys, err := a.backupRecipients(recipients, passphrase)
			if err != nil {
				return err
			}
			return a.withStore(c.Context(), func(cfg *config.Config, s *store.Store) error {
				options := store.BackupOptions{Recipients: keys, Program: readBuild().Version}
				if withKey {
					key, err := seal.LoadKey(masterKeyPath(cfg))
					if err != nil {
						return err
					}
					options.MasterKey = []byte(hex.EncodeToString(key[:]))
				}
				return a.writeBackup(c.Context(), s, args[0], options)
			})
		},
	}
	flags := c.Flags()
	flags.StringArrayVar(&recipients, "recipient", nil, "encrypt for the public `KEY`, as age1… (repeated)")
	flags.BoolVar(&passphrase, "passphrase-stdin", false, "encrypt with a passphrase from standard input, or ask on a terminal")
	flags.BoolVar(&withKey, "with-master-key", false, "put the master key into the backup: who can open it has all secrets")
	c.AddCommand(a.backupVerifyCommand(), a.backupKeygenCommand())
	return c
}

// minPassphrase keeps passphrases off that a machine guesses in no time.
const minPassphrase = 12

func (a *app) backupRecipients(recipients []string, passphrase bool) (list []age.Recipient, err error) {
	switch {
	case len(recipients) > 0 && passphrase:
		return nil, usagef("only one of --recipient and --passphrase-stdin can be given")
	case passphrase:
		text, err := a.readSecret("passphrase")
		if err != nil {
			return nil, err
		}
		if len([]rune(text)) < minPassphrase {
			return nil, usagef("the passphrase is shorter than %d characters", minPassphrase)
		}
		recipient, err := age.NewScryptRecipient(text)
		return []age.Recipient{recipient}, err
	case len(recipients) == 0:
		return nil, usagef("a backup is always encrypted: give --recipient or --passphrase-stdin; radiusd backup keygen makes a key")
	}
	for _, text := range recipients {
		found, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil {
			return nil, usagef("--recipient: %q is not a public key of age", text)
		}
		list = append(list, found...)
	}
	return list, nil
}

// writeBackup writes a backup to a file that is complete or as it was before, or to
// standard output.
func (a *app) writeBackup(ctx context.Context, s *store.Store, path string, options store.BackupOptions) error {
	if path == "-" {
		if isTerminal(a.stdout) {
			return usagef("a backup is not for a terminal: redirect standard output")
		}
		_, err := a.backUp(ctx, s, a.stdout, options)
		return err
	}
	file, err := createBeside(path)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, reason(err))
	}
	defer file.discard()
	manifest, err := a.backUp(ctx, s, file, options)
	if err != nil {
		return err
	}
	if err := file.keep(); err != nil {
		return fmt.Errorf("write %s: %w", path, reason(err))
	}
	fmt.Fprintf(a.stdout, "%s holds %d rows of %d tables; their secrets are sealed under the master key %s\n",
		printable(path), manifest.Rows(), len(manifest.Parts), manifest.MasterKeyID)
	return nil
}

func (a *app) backUp(ctx context.Context, s *store.Store, w io.Writer, options store.BackupOptions) (*archive.Manifest, error) {
	p := a.newProgress("rows backed up", -1)
	options.Progress = p.of
	manifest, err := s.Backup(ctx, w, options)
	if err != nil {
		p.abandon()
		return nil, err
	}
	p.done(manifest.Rows())
	return manifest, nil
}

// besideFile is a file that takes the place of another one when it is complete.
type besideFile struct {
	*os.File
	path string // empty: it is written directly, as a pipe
}

func createBeside(path string) (*besideFile, error) {
	if info, err := os.Stat(path); err == nil && !info.Mode().IsRegular() {
		file, err := os.OpenFile(path, os.O_WRONLY, 0)
		return &besideFile{File: file}, err
	}
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*") // mode 0600
	return &besideFile{file, path}, err
}

// keep ends the file, on stable storage, and gives it its name.
func (f *besideFile) keep() error {
	if f.path == "" {
		return f.Close()
	}
	err := errors.Join(f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), f.path)
}

// discard removes the file unless it was kept.
func (f *besideFile) discard() {
	f.Close()
	if f.path != "" {
		os.Remove(f.Name())
	}
}

func (a *app) backupVerifyCommand() *cobra.Command {
	flags := &identityFlags{}
	c := &cobra.Command{
		Use:   "verify FILE",
		Short: "Check a backup from beginning to end",
		Long: `Decrypts a backup, checks every hash and count, and that every row can be read. It
needs no store. FILE may be -, for standard input.`,
		Example: `  radiusd backup verify radiusd.backup --identity backup.key
  radiusd backup verify radiusd.backup --passphrase-stdin -o json`,
		Args:              arguments("FILE"),
		ValidArgsFunction: completeFile,
		RunE: func(c *cobra.Command, args []string) error {
			b, err := a.openBackup(args[0], flags)
			if err != nil {
				return err
			}
			defer b.close()
			manifest, err := a.verifyBackup(b)
			if err != nil {
				return fmt.Errorf("%s: %w", printable(args[0]), err)
			}
			return writeOne(a, manifestColumns, manifest)
		},
	}
	flags.register(c)
	a.outputFlag(c)
	return c
}

var manifestColumns = []column[archive.Manifest]{
	{name: "made_at", value: func(m *archive.Manifest) any { return m.MadeAt }},
	{name: "program", value: func(m *archive.Manifest) any { return m.Program }},
	{name: "engine", value: func(m *archive.Manifest) any { return m.Engine }},
	{name: "schema_version", value: func(m *archive.Manifest) any { return m.SchemaVersion }},
	{name: "time_zone", value: func(m *archive.Manifest) any { return m.TimeZone }},
	{name: "master_key_id", value: func(m *archive.Manifest) any { return m.MasterKeyID }},
	{name: "has_master_key", value: func(m *archive.Manifest) any { return m.HasMasterKey }},
	{name: "rows", value: func(m *archive.Manifest) any { return m.Rows() }},
	{name: "tables", value: func(m *archive.Manifest) any {
		list := make([]string, len(m.Parts))
		for i, part := range m.Parts {
			list[i] = fmt.Sprintf("%s=%d", part.Table, part.Rows)
		}
		return list
	}},
}

func (a *app) backupKeygenCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "keygen FILE",
		Short: "Make a key for backups",
		Long: `Makes a key of age and writes its secret part to FILE, which must not exist, and its
public part to standard output. Only the public part is needed to make backups: keep
the file away from the server, and twice.`,
		Example:           "  radiusd backup keygen backup.key",
		Args:              arguments("FILE"),
		ValidArgsFunction: completeFile,
		RunE: func(_ *cobra.Command, args []string) error {
			identity, err := age.GenerateX25519Identity()
			if err != nil {
				return err
			}
			content := fmt.Sprintf("# public key: %s\n%s\n", identity.Recipient(), identity)
			if err := writeOnce(args[0], []byte(content)); err != nil {
				return fmt.Errorf("write %s: %w", args[0], reason(err))
			}
			fmt.Fprintln(a.stdout, identity.Recipient())
			return nil
		},
	}
}
