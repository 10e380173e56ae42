//go:build race

package aaa

// raceFactor is how much more a budget of time or memory may be under the race
// detector, which is slow and makes sync.Pool lose what it keeps.
const raceFactor = 20
