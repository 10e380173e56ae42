package aaa

// RaceFactor is for the tests outside the package.
const RaceFactor = raceFactor
