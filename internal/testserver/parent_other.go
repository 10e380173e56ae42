//go:build !linux

package testserver

import "syscall"

// endWithParent changes nothing: only Linux has such a promise.
func endWithParent(attributes *syscall.SysProcAttr) *syscall.SysProcAttr { return attributes }
