//go:build !race

package aaa

// raceFactor is how much more a budget of time or memory may be under the race
// detector.
const raceFactor = 1
