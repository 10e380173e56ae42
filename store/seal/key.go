package seal

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// Key is a master key.
type Key [32]byte

// String hides the key from logs and errors.
func (Key) String() string { return "master key" }

// GoString hides the key from %#v as well.
func (Key) GoString() string { return "master key" }

// NewKey returns a random key.
func NewKey() Key {
	var key Key
	if _, err := rand.Read(key[:]); err != nil {
		panic(err) // crypto/rand never fails
	}
	return key
}

// LoadKey reads a master key from a file of 64 hex digits, as
// "openssl rand -hex 32" prints them. It refuses a file that anyone but its
// owner may read; if that is root, its group may as well.
func LoadKey(path string) (Key, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Key{}, fmt.Errorf("master key: %w", err)
	}
	if !info.Mode().IsRegular() {
		return Key{}, fmt.Errorf("master key: %s is not a regular file", path)
	}
	if err := checkMode(path, info); err != nil {
		return Key{}, err
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return Key{}, fmt.Errorf("master key: %w", err)
	}
	key, err := ParseKey(text)
	if err != nil {
		return Key{}, fmt.Errorf("master key: %s does not hold 64 hex digits", path)
	}
	return key, nil
}

// ParseKey reads a master key of 64 hex digits.
func ParseKey(text []byte) (Key, error) {
	octets, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil || len(octets) != len(Key{}) {
		// The decoder's error would quote the key.
		return Key{}, errors.New("a master key has 64 hex digits")
	}
	return Key(octets), nil
}

// SaveKey writes a master key to a file of its owner only, on stable storage. It fails
// with fs.ErrExist rather than replace one.
func SaveKey(path string, key Key) error {
	if err := createFile(path, []byte(hex.EncodeToString(key[:])+"\n")); err != nil {
		return fmt.Errorf("write master key: %w", err)
	}
	return nil
}

// LoadOrCreateKey is LoadKey, and makes the file with a new key if there is none.
// Two processes that start at once end up with the same key. The file is on
// stable storage when it returns: nothing is ever sealed under a key that a
// power cut can take away.
func LoadOrCreateKey(path string) (key Key, created bool, err error) {
	if key, err = LoadKey(path); !errors.Is(err, fs.ErrNotExist) {
		return key, false, err
	}
	key = NewKey()
	err = createFile(path, []byte(hex.EncodeToString(key[:])+"\n"))
	if errors.Is(err, fs.ErrExist) {
		key, err = LoadKey(path) // another process was faster
		return key, false, err
	}
	if err != nil {
		return Key{}, false, fmt.Errorf("make master key: %w", err)
	}
	return key, true, nil
}

// createFile makes a file that is either absent or complete. It fails with
// fs.ErrExist rather than replace one.
func createFile(path string, content []byte) error {
	dir := filepath.Dir(path)
	tmp, err := os.CreateTemp(dir, ".master-key-*") // mode 0600, O_EXCL
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(content)
	if err == nil {
		err = tmp.Sync()
	}
	if closeErr := tmp.Close(); err == nil {
		err = closeErr
	}
	if err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	return syncDir(dir)
}
