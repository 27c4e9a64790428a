package mysql

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"
	"unsafe"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/snapshot"
)

// strideChunks is how many chunks Split cuts off where it cannot halve.
const strideChunks = 8

// Split halves a range between the ends of its key where that is one number,
// which costs the server two dives into its index. Of other keys only the
// server knows what lies between them: it walks some chunks ahead.
func (r *Reader) Split(ctx context.Context, t *schema.Table, lo, hi snapshot.Key, rows int) (snapshot.Key, error) {
	defer closeWith(ctx, r.conn)()
	if len(t.Key) == 1 && t.Columns[t.Key[0]].Type.IsInteger() {
		k := t.Key[0]
		ends, err := r.first(endsQuery(t, lo, hi), t, []int{k, k})
		if err != nil || ends == nil {
			return nil, err
		}
		return halve(ends[0], ends[1], rows), nil
	}
	key, err := r.first(strideQuery(t, lo, hi, strideChunks*rows), t, t.Key)
	if err != nil || key == nil {
		return nil, err
	}
	k, err := keyOf(t, key)
	if err != nil {
		return nil, connect.Permanent(err)
	}
	return k, nil
}

// halve returns the middle between two integers, nil if either is NULL or
// there cannot be two chunks between them.
func halve(low, high schema.Value, rows int) snapshot.Key {
	switch {
	case low.Kind() == schema.Int && high.Kind() == schema.Int:
		if span := uint64(high.Int()) - uint64(low.Int()); span >= 2*uint64(rows) {
			return strconv.AppendInt(nil, low.Int()+int64(span/2), 10)
		}
	case low.Kind() == schema.Uint && high.Kind() == schema.Uint:
		if span := high.Uint() - low.Uint(); span >= 2*uint64(rows) {
			return strconv.AppendUint(nil, low.Uint()+span/2, 10)
		}
	}
	return nil
}

// first returns the first row of a query, nil if there is none. Its columns
// are those of t at the given indexes.
func (r *Reader) first(query string, t *schema.Table, columns []int) (first schema.Row, err error) {
	res, err := r.execute(query, t, columns)
	if err != nil {
		return nil, r.explain("split", t, err)
	}
	var b connect.Batch
	for {
		row, err := res.read(&b)
		if err != nil {
			return nil, r.explain("split", t, err)
		}
		if row == nil {
			return first, nil
		}
		if first == nil {
			first = row
		}
	}
}

// ReadChunk does ANCHOR, READ and HIGH.
func (r *Reader) ReadChunk(ctx context.Context, c *snapshot.Chunk) error {
	defer closeWith(ctx, r.conn)()
	if err := r.anchor(c.Anchor); err != nil {
		return err
	}
	c.Parts, c.Rows, c.Bytes, c.Cut, c.End = nil, 0, 0, false, c.Hi
	res, err := r.execute(chunkQuery(c, r.lock(c.Anchor)), c.Table, allColumns(c.Table))
	if err != nil {
		return r.explain("read", c.Table, err)
	}
	last, err := r.fill(c, res)
	if err != nil {
		return r.explain("read", c.Table, err)
	}
	if c.Cut && len(c.Table.Key) > 0 {
		row := make(schema.Row, len(c.Table.Key))
		for n, i := range c.Table.Key {
			row[n] = last[i]
		}
		if c.End, err = keyOf(c.Table, row); err != nil {
			return connect.Permanent(err)
		}
	}
	if !res.done { // the rest of the result is not wanted
		if err := r.reopen(ctx, c.Anchor); err != nil {
			return err
		}
		defer closeWith(ctx, r.conn)()
	}
	c.High, err = endOfLog(r.conn)
	return err
}

// lock returns the clause by which a SELECT waits for transactions that are in
// the log and not yet visible, "" where the anchor has waited for them.
func (r *Reader) lock(a snapshot.Anchor) string {
	switch {
	case a.GTIDs != "":
		return ""
	case r.maria:
		return " LOCK IN SHARE MODE"
	}
	return " FOR SHARE"
}

// fill reads rows until the chunk is complete or cut, and returns the last.
func (r *Reader) fill(c *snapshot.Chunk, res *result) (last schema.Row, err error) {
	now := time.Now().UnixMicro()
	var part *connect.Batch
	var size int // of part
	for {
		if part == nil || size >= c.PartBytes && !res.ready() { // what is at hand would have to be copied
			part, size = c.NewBatch(), 0
			c.Parts = append(c.Parts, part)
		}
		before := part.Size()
		row, err := res.read(part)
		if err != nil {
			return nil, err
		}
		if row == nil {
			c.Cut = len(c.Table.Key) > 0 && c.Rows >= int64(c.MaxRows)
			return last, nil
		}
		addRow(part, c.Table, row, now)
		last = row
		c.Rows++
		cost := part.Size() - before + rowCost(row)
		size += cost
		c.Bytes += int64(cost)
		if c.Bytes > int64(c.MaxBytes) {
			c.Cut = true
			return last, nil
		}
	}
}

// rowCost returns the memory of a row beyond the bytes that it points to.
func rowCost(row schema.Row) int {
	return int(unsafe.Sizeof(connect.Record{})) + len(row)*int(unsafe.Sizeof(schema.Value{}))
}

func addRow(b *connect.Batch, t *schema.Table, row schema.Row, now int64) {
	rec := b.Add()
	rec.Op, rec.Table, rec.After, rec.Time = connect.OpRead, t, row, now
}

// reopen gets rid of a result set that was not read to its end.
func (r *Reader) reopen(ctx context.Context, a snapshot.Anchor) error {
	if err := errors.Join(r.Close(), r.Open(ctx)); err != nil {
		return err
	}
	a.GTIDs = ""
	return r.anchor(a)
}

// lockWait is how long LOCK TABLES waits, and writers behind it with it.
const lockWait = 3 // seconds

// ReadLocked reads a table as of one position, which it finds under a lock.
func (r *Reader) ReadLocked(ctx context.Context, l snapshot.Locked) error {
	defer closeWith(ctx, r.conn)()
	if err := r.anchor(l.Anchor); err != nil {
		return err
	}
	high, err := r.lockedView(ctx, l)
	if err != nil {
		return err
	}
	if err := l.Begin(high); err != nil {
		return err
	}
	t := l.Table
	res, err := r.execute(chunkQuery(&snapshot.Chunk{Table: t}, ""), t, allColumns(t))
	if err != nil {
		return r.explain("read", t, err)
	}
	now := time.Now().UnixMicro()
	b, size := l.First, 0
	for {
		row, err := res.read(b)
		if err != nil {
			return r.explain("read", t, err)
		}
		if row != nil {
			addRow(b, t, row, now)
			size += rowCost(row)
		}
		if len(b.Records) > 0 && (row == nil || b.Size()+size >= l.PartBytes) {
			size = 0
			if b, err = l.Give(b); err != nil {
				return err
			}
		}
		if row == nil {
			break
		}
	}
	_, err = r.conn.Execute("COMMIT")
	return err
}

// lockedView opens a consistent view on r's connection while another one holds
// a lock that no writer of the table can share, and asks for the end of the
// log meanwhile.
func (r *Reader) lockedView(ctx context.Context, l snapshot.Locked) (high snapshot.High, err error) {
	t := l.Table
	locker := New(r.cfg)
	if err := locker.Open(ctx); err != nil {
		return high, err
	}
	defer locker.Close() // which ends the lock in any case
	defer closeWith(ctx, locker.conn)()
	if err := locker.anchor(snapshot.Anchor{ServerUUID: l.Anchor.ServerUUID}); err != nil {
		return high, err
	}
	if _, err := locker.conn.Execute(fmt.Sprintf("SET SESSION lock_wait_timeout=%d", lockWait)); err != nil {
		return high, err
	}
	if _, err := locker.conn.Execute("LOCK TABLES " + quote(t.Database) + "." + quote(t.Name) + " READ"); err != nil {
		return high, r.explain("lock", t, err)
	}
	if _, err := r.conn.Execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"); err != nil {
		return high, err
	}
	if _, err := r.conn.Execute("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"); err != nil {
		return high, err
	}
	if high, err = endOfLog(locker.conn); err != nil {
		return high, err
	}
	_, err = locker.conn.Execute("UNLOCK TABLES")
	return high, err
}
