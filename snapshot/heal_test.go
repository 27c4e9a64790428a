package snapshot

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/offsets"
)

// lost is a stream whose position is lost.
type lost struct {
	Changes
	anew bool
}

var errAnew = errors.New("it begins anew")

func (l *lost) Open(context.Context, offsets.Position, []offsets.Entry) error {
	return fmt.Errorf("purged: %w", connect.ErrPositionLost)
}

func (l *lost) OpenAnew(context.Context, offsets.Position, []offsets.Entry) error {
	l.anew = true
	return errAnew
}

func (l *lost) Close() error { return nil }

// Only when_needed begins anew, and only where tables can be emptied first.
func TestLostPosition(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		anew bool
		want string
	}{
		{Config{Mode: WhenNeeded}, true, "it begins anew"},
		{Config{Mode: Initial}, false, "snapshot.mode=when_needed"},
		{Config{Mode: InitialOnly}, false, "snapshot.mode=when_needed"},
		{Config{Mode: NoData}, false, "snapshot.mode=when_needed"},
	} {
		l := &lost{}
		err := New(l, nil, c.cfg, connect.Env{}).Open(t.Context(), offsets.Position("somewhere"), nil)
		if l.anew != c.anew || err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v (anew: %v)", c.cfg, err, l.anew)
		}
		if !c.anew && !errors.Is(err, connect.ErrPositionLost) {
			t.Errorf("%+v: %v would be tried again", c.cfg, err)
		}
	}
}
