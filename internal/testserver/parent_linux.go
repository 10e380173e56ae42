package testserver

import "syscall"

// endWithParent has the kernel interrupt a program when this process dies, so
// that a test that is killed leaves no server behind.
func endWithParent(attributes *syscall.SysProcAttr) *syscall.SysProcAttr {
	if attributes == nil {
		attributes = &syscall.SysProcAttr{}
	}
	attributes.Pdeathsig = syscall.SIGINT
	return attributes
}
