package worker

import (
	"context"
	"fmt"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// route makes topics and gives each record its partition.
func (t *sourceTask) route(ctx context.Context, b *connect.Batch) error {
	var topic string
	var n int32
	var table *schema.Table
	var spread connect.Spread
	for i := 0; i < len(b.Records); i++ {
		r := &b.Records[i]
		if r.Topic != topic || n == 0 {
			topic = r.Topic
			var err error
			if n, err = t.partitionsOf(ctx, topic); err != nil {
				return err
			}
			if err = t.readBack(ctx, topic, n); err != nil {
				return err
			}
		}
		if n == 1 {
			r.Partition = 0
			continue
		}
		if r.Op == connect.OpSchema {
			if err := scatter(b, r, n); err != nil {
				return err
			}
		}
		if isBarrier(r) {
			if err := spreadBarrier(b, i, n); err != nil {
				return err
			}
			i += int(n) - 1
			continue
		}
		if r.Op == connect.OpSchema || r.Op == connect.OpMessage {
			r.Partition = 0
			continue
		}
		if r.Table != table {
			table, spread = r.Table, connect.SpreadOf(r.Table)
		}
		var h uint64
		h, t.buf = r.Hash(spread, t.buf)
		r.Partition = int32(h % uint64(n))
	}
	return nil
}

// scatter marks a change of a table's shape that goes to one of several
// partitions. Rows of both shapes are on both sides of it there, which no reader
// can tell apart where a column has another name: it would be missing in one and
// new in the other.
func scatter(b *connect.Batch, r *connect.Record, partitions int32) error {
	r.SetScattered(b)
	c, err := r.SchemaChange()
	if c == nil || err != nil {
		return err
	}
	if was, now, ok := c.Renamed(); ok {
		return connect.Permanent(fmt.Errorf("table %s had column %s renamed to %s, which topic %s with its %d partitions cannot carry in order; "+
			"give its rows a topic with one partition", r.Table, was, now, r.Topic, partitions))
	}
	return nil
}

// isBarrier reports whether a record concerns all rows of its table, whichever
// partitions they are in.
func isBarrier(r *connect.Record) bool {
	return r.Op == connect.OpTruncate || r.Op == connect.OpSchema && r.Flags&connect.Reread != 0
}

// spreadBarrier puts record i of b into each partition of its topic. How a shape
// came about is told in the first one alone. A truncation has its place at the source
// (none in the log: before all else of its epoch), or is one that a snapshot
// counts, by which it is told from others.
func spreadBarrier(b *connect.Batch, i int, partitions int32) error {
	r := &b.Records[i]
	if o := r.Origin; r.Op == connect.OpTruncate && (o == nil || o.Snapshot && o.Copy == 0) {
		return connect.Permanent(fmt.Errorf("table %s is to be emptied in the targets before it is copied anew, which topic %s with its %d partitions cannot carry; "+
			"give its rows a topic with one partition", r.Table, r.Topic, partitions))
	}
	r.SetBarrier(b, partitions)
	b.Insert(i+1, int(partitions)-1)
	for p := range partitions {
		c := &b.Records[i+int(p)]
		if *c = b.Records[i]; r.Op == connect.OpTruncate {
			// whoever empties the table changes it
		} else if p == 1 {
			c.WithoutSchemaChange(b)
		} else if p > 1 {
			c.Headers = b.Records[i+1].Headers
		}
		c.Partition = p
	}
	return nil
}
