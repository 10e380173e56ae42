//go:build !unix

package seal

import "io/fs"

// Access is a matter of ACLs here, which file modes do not tell.
func checkMode(string, fs.FileInfo) error { return nil }

// Directories cannot be synced here.
func syncDir(string) error { return nil }
