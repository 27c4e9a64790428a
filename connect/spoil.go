//go:build !race

package connect

// spoil does nothing; see the one of the race detector's builds.
func spoil([]byte) {}
