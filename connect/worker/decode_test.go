package worker

import (
	"errors"
	"testing"

	"github.com/towline/towline/connect"
)

// failing is a converter that cannot decode.
type failing struct{ err error }

func (f failing) Encode(*connect.Messages, *connect.Batch) error { return f.err }

func (f failing) Decode(*connect.Batch, []connect.Message) error { return f.err }

// What a converter needs and does not get is no fault of the message: it does not
// become a dead letter, the task tries again.
func TestConverterOutageIsNoDeadLetter(t *testing.T) {
	away := errors.New("the registry does not answer")
	task := &sinkTask{converter: failing{away}, dead: &deadLetters{topic: "dead"}} // which would panic if it were written to
	u := &sinkUnit{}
	u.msgs.Add().Topic = "t"
	if err := task.decode(t.Context(), u); !errors.Is(err, away) {
		t.Fatal(err)
	}
}
