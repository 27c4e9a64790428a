package child

import (
	"errors"
	"os"
	"testing"
)

// SkipShort skips a test that needs what servers, where -short leaves those out.
func SkipShort(tb testing.TB, what string) {
	tb.Helper()
	if testing.Short() {
		tb.Skip("needs " + what + ", which -short leaves out")
	}
}

// Unavailable ends a test that gets no server for err: a missing installation skips it, unless servers
// are required; anything else fails it.
func Unavailable(tb testing.TB, err, notInstalled error) {
	tb.Helper()
	if errors.Is(err, notInstalled) && os.Getenv("TOWLINE_REQUIRE_SERVERS") != "1" {
		tb.Skip(err)
	}
	tb.Fatal(err)
}
