package peers

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/go-mysql-org/go-mysql/mysql"
	"github.com/go-mysql-org/go-mysql/replication"
)

// GoMySQL reads a binary log with go-mysql and drops what it gets.
type GoMySQL struct {
	Host           string
	Port           uint16
	User, Password string
	Raw            bool // rows are received and not decoded
}

// Position returns the end of a server's log.
func Position(ctx context.Context, db *sql.DB) (mysql.Position, error) {
	var p mysql.Position
	var a, b, c string
	err := db.QueryRowContext(ctx, "SHOW BINARY LOG STATUS").Scan(&p.Name, &p.Pos, &a, &b, &c)
	return p, err
}

// Read reads so many updates and returns how many came after the first event
// of rows, and in what time. began is called at that first event. Raw counts
// events of rows, so transactions are to be of one row.
func (g *GoMySQL) Read(ctx context.Context, from mysql.Position, updates int, began func() error) (rows int, took time.Duration, err error) {
	syncer := replication.NewBinlogSyncer(replication.BinlogSyncerConfig{ServerID: 4242, Flavor: "mysql", Host: g.Host, Port: g.Port, User: g.User, Password: g.Password,
		RenderJSONAsMySQLText: true, DiscardGTIDSet: true, RawModeEnabled: g.Raw, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))})
	defer syncer.Close()
	st, err := syncer.StartSync(from)
	if err != nil {
		return 0, 0, err
	}
	var begin time.Time
	got, first := 0, 0
	for got < updates {
		ev, err := st.GetEvent(ctx)
		if err != nil {
			return 0, 0, fmt.Errorf("after %d rows: %w", got, err)
		}
		n := updatesIn(ev)
		if n == 0 {
			continue
		}
		got += n
		if begin.IsZero() {
			first, begin = got, time.Now()
			if err := began(); err != nil {
				return 0, 0, err
			}
		}
	}
	return got - first, time.Since(begin), nil
}

func updatesIn(ev *replication.BinlogEvent) int {
	switch r := ev.Event.(type) {
	case *replication.RowsEvent:
		return len(r.Rows) / 2
	case *replication.GenericEvent:
		if ev.Header.EventType == replication.UPDATE_ROWS_EVENTv2 {
			return 1
		}
	}
	return 0
}
