//go:build !amd64

package md5x8

// Available reports whether this processor has what Sum needs.
func Available() bool { return false }

func blocks(*[4][Lanes]uint32, *[Lanes]*byte, int) {
	panic("md5x8: not available on this processor")
}
