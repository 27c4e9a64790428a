package memlog_test

import (
	"context"
	"errors"
	"testing"

	"go.uber.org/goleak"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/connecttest"
	"github.com/towline/towline/connect/memlog"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestContract(t *testing.T) {
	connecttest.TestLog(t, func(t *testing.T) connecttest.LogHarness {
		l := memlog.New()
		return connecttest.LogHarness{Log: l, Reopen: func(*testing.T) connect.Log { return l }}
	})
}

func TestReaderCloseWakesRead(t *testing.T) {
	l := memlog.New()
	if err := l.CreateTopic(context.Background(), "t", 1); err != nil {
		t.Fatal(err)
	}
	r, err := l.OpenReader(context.Background(), []connect.Cursor{{Topic: "t"}})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- r.Read(context.Background(), new(connect.Messages), 1) }()
	if err := errors.Join(r.Close(), r.Close()); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Fatal("Read of a closed reader gives no error")
	}
}

func TestCloseTwice(t *testing.T) {
	l := memlog.New()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); !errors.Is(err, memlog.ErrClosed) {
		t.Fatalf("the second Close gives %v", err)
	}
}
