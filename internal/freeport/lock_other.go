//go:build !unix

package freeport

import "os"

func lock(*os.File) error { return nil }
