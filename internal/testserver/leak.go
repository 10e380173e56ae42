package testserver

import (
	"time"

	"go.uber.org/goleak"
)

// Leaked returns an error that names the goroutines which the tests of a package have
// left, once Main has returned. Those that wait for a server to hang up get the time
// that it takes on a machine that is busy.
func Leaked() error {
	for began := time.Now(); ; {
		err := goleak.Find()
		if err == nil || time.Since(began) > 20*time.Second {
			return err
		}
	}
}
