//go:build !linux

package testserver

func stopped(int) bool { return true }
