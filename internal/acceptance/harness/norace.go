//go:build !race

package harness

// RaceDetector reports whether the tests run with the race detector.
const RaceDetector = false
