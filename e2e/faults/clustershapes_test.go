package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/towline/towline/e2e/oracle"
)

// shapesDB has the tables that random statements make, with a source and a mirror
// of its own.
const shapesDB = "shapes"

// beginShapes makes the connectors of the tables that random statements make.
func (m *team) beginShapes() {
	m.t.Helper()
	source, sink := map[string]string{}, map[string]string{}
	merge(source, m.from)
	merge(source, map[string]string{"database.include.list": shapesDB + ",ops", "topic.prefix": "s", "topic.creation.default.partitions": "1"})
	merge(sink, m.sink)
	merge(sink, map[string]string{"topics.regex": `s\.shapes\..*`, "schema.evolution": "full"})
	m.ask("PUT", "/connectors/shapes/config", text(source), 200, 201)
	m.ask("PUT", "/connectors/shaped/config", text(sink), 200, 201)
}

// shaping has random statements change those tables, and has them and others copied
// again now and then, until stop is called.
func (m *team) shaping() (stop func()) {
	m.t.Helper()
	conn, err := m.source.DB().Conn(m.t.Context())
	if err == nil {
		_, err = conn.ExecContext(m.t.Context(), "USE "+shapesDB)
	}
	if err != nil {
		m.t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(m.r.Uint64(), 3))
	m.shaper = &shaper{r: r, conn: conn, pause: 50 * time.Millisecond}
	ctx, cancel := context.WithCancel(m.t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if err := m.shaper.run(ctx, m.shaper.done.Load()+int64(r.IntN(200))); err != nil {
				m.t.Error(err)
				return
			}
			m.copyAgain(r)
		}
	}()
	return sync.OnceFunc(func() {
		cancel()
		<-done
		conn.Close()
		m.t.Logf("shapes: %d statements, %d refused, %d DDL", m.shaper.done.Load(), m.shaper.refused.Load(), len(m.shaper.history))
	})
}

// copyAgain asks for a copy of some tables, those of counters not among them: each
// of their states is told by a change. The signal is never the source's first change.
func (m *team) copyAgain(r *rand.Rand) {
	if m.load.Transactions() == 0 {
		return
	}
	tables := []string{shapesDB + `\\..*`, database + `\\.(accounts|wide|docs)`, database + `\\.(hot|entries)`}
	data := fmt.Sprintf(`{"data-collections": ["%s"]}`, tables[r.IntN(len(tables))])
	if _, err := m.source.DB().ExecContext(m.t.Context(), "INSERT INTO ops.signals VALUES (UUID(), 'execute-snapshot', ?)", data); err != nil {
		m.t.Error(err)
	}
}

// equalShapes compares the tables that random statements made.
func (m *team) equalShapes() {
	m.t.Helper()
	diffs, err := oracle.Compare(m.t.Context(), m.source.DB(), shapesDB, m.target.DB(), shapesDB)
	if err != nil {
		m.t.Fatal(err)
	}
	if got, want := shapesOf(m.t, m.target.DB(), shapesDB), shapesOf(m.t, m.source.DB(), shapesDB); got != want {
		diffs = append(diffs, "the target's tables are\n"+got+"\nand the source's\n"+want)
	}
	if len(diffs) > 0 {
		m.t.Errorf("of the tables that change source and target differ:\n%s\nDDL:\n%s", strings.Join(diffs, "\n"), strings.Join(m.shaper.history[max(0, len(m.shaper.history)-200):], ";\n"))
	}
}
