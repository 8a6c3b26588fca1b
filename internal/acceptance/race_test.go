//go:build race

package acceptance

// raced tells that the tests run with the race detector.
const raced = true
