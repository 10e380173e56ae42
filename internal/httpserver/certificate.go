package httpserver

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

// checkEvery is how often the files of a Certificate are looked at, when there are
// handshakes.
const checkEvery = time.Second

// Certificate is a certificate with its key, from files that may be replaced while the
// server runs. It is safe for concurrent use.
type Certificate struct {
	certFile, keyFile string
	log               *slog.Logger
	now               func() time.Time

	current atomic.Pointer[tls.Certificate]

	mu      sync.Mutex
	checked time.Time
	seen    [2]stamp // of the files that were read last, whether they were of use or not
}

// stamp tells that a file is another.
type stamp struct {
	modified time.Time
	size     int64
}

// LoadCertificate reads a certificate, with the chain to its authority, and its key, both
// PEM. Now is the clock; nil: time.Now.
func LoadCertificate(certFile, keyFile string, log *slog.Logger, now func() time.Time) (*Certificate, error) {
	if now == nil {
		now = time.Now
	}
	c := &Certificate{certFile: certFile, keyFile: keyFile, log: log, now: now, checked: now()}
	seen, err := c.stamps()
	if err != nil {
		return nil, err
	}
	c.seen = seen
	loaded, err := c.load()
	if err != nil {
		return nil, err
	}
	if err := expired(loaded, now()); err != nil {
		log.Warn("the TLS certificate is no good to clients", "file", certFile, "error", err)
	}
	c.current.Store(loaded)
	return c, nil
}

// Expires returns until when the certificate in use is valid.
func (c *Certificate) Expires() time.Time { return c.current.Load().Leaf.NotAfter }

// get is tls.Config.GetCertificate.
func (c *Certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.refresh()
	return c.current.Load(), nil
}

// refresh reads the files again if they are others. A pair that is of no use leaves the
// old one in place.
func (c *Certificate) refresh() {
	if !c.mu.TryLock() {
		return // somebody else does it
	}
	defer c.mu.Unlock()
	now := c.now()
	if now.Sub(c.checked) < checkEvery {
		return
	}
	c.checked = now
	seen, err := c.stamps()
	if seen == c.seen {
		return
	}
	c.seen = seen
	var loaded *tls.Certificate
	if err == nil {
		loaded, err = c.load()
	}
	if err == nil {
		err = expired(loaded, now)
	}
	if err != nil {
		c.log.Error("the new TLS certificate is of no use: the old one stays", "error", err)
		return
	}
	c.current.Store(loaded)
	c.log.Info("the TLS certificate was reloaded", "file", c.certFile, "expires", loaded.Leaf.NotAfter)
}

// stamps looks at both files.
func (c *Certificate) stamps() (seen [2]stamp, err error) {
	for i, path := range []string{c.certFile, c.keyFile} {
		info, statErr := os.Stat(path)
		if statErr != nil {
			err = errors.Join(err, statErr)
			continue
		}
		seen[i] = stamp{info.ModTime(), info.Size()}
	}
	return seen, err
}

func (c *Certificate) load() (*tls.Certificate, error) {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return nil, fmt.Errorf("load the TLS certificate %s: %w", c.certFile, err)
	}
	if pair.Leaf == nil {
		if pair.Leaf, err = x509.ParseCertificate(pair.Certificate[0]); err != nil {
			return nil, fmt.Errorf("load the TLS certificate %s: %w", c.certFile, err)
		}
	}
	return &pair, nil
}

func expired(pair *tls.Certificate, now time.Time) error {
	switch {
	case now.After(pair.Leaf.NotAfter):
		return fmt.Errorf("it expired at %s", pair.Leaf.NotAfter.Format(time.RFC3339))
	case now.Before(pair.Leaf.NotBefore):
		return fmt.Errorf("it is valid from %s only", pair.Leaf.NotBefore.Format(time.RFC3339))
	}
	return nil
}

// tlsConfig takes TLS 1.2 with forward secrecy and authenticated encryption, and TLS 1.3,
// whose suites cannot be chosen and need no choice.
func tlsConfig(c *Certificate) *tls.Config {
	return &tls.Config{
		MinVersion:     tls.VersionTLS12,
		GetCertificate: c.get,
		NextProtos:     []string{"h2", "http/1.1"},
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
	}
}
