package worker

import (
	"testing"

	"github.com/towline/towline/connect"
)

// A copy that is complete where it was read has not arrived before what was read
// is in the log.
func TestCopyIsOnItsWay(t *testing.T) {
	p := newProgress()
	told := func(state connect.TableState) { p.report(connect.TableStatus{Table: "d.t", State: state}) }
	is := func(what string, want bool) {
		t.Helper()
		if got := p.onTheWay(); got != want {
			t.Errorf("%s: %t", what, got)
		}
	}
	p.opening()
	told(connect.TableWaiting)
	p.opened(nil)
	told(connect.TableCopying)
	p.took()
	is("it copies", false) // which its state tells
	told(connect.TableFollowing)
	is("the last rows are being read", true)
	p.took()
	p.wrote()
	is("the first rows are in the log", true)
	p.wrote()
	is("the last rows are in the log", false)

	told(connect.TableCopying) // anew
	told(connect.TableFollowing)
	is("the rows are being read again", true)
	p.opening() // as it was saved
	told(connect.TableFollowing)
	p.opened(nil)
	is("it was saved so", false)
}
