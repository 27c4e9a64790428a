package worker

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/deadletter"
	"github.com/towline/towline/schema"
)

// newer looks in the log for changes of a letter's rows that came after it. It
// can be asked again, and then looks at what has come since.
type newer struct {
	a      *again
	at     partition
	next   int64 // where to go on in the log
	offset int64 // of the letter
	seq    uint64
	tables map[[2]string]bool // that the letter is of
	rows   map[string]bool    // that it is of; empty: whole tables
	free   bool               // it is of no table: nothing is newer
}

// newerThan returns what looks for changes that came after a letter.
func (a *again) newerThan(c *deadletter.Cause, records []connect.Record) *newer {
	n := &newer{a: a, at: partition{c.Topic, c.Partition}, next: c.Offset, offset: c.Offset, free: true,
		tables: map[[2]string]bool{}, rows: map[string]bool{}}
	for i := range records {
		r := &records[i]
		n.seq = max(n.seq, r.Seq)
		if r.Op == connect.OpMessage {
			continue
		}
		n.free = false
		n.tables[[2]string{r.Table.Database, r.Table.Name}] = true
		for _, id := range rowsOf(r) {
			n.rows[id] = true
		}
	}
	return n
}

// rowsOf returns the names of the rows that a change is about: their keys or,
// where the table has none, all of them. Texts that a collation may take for
// the same have one name.
func rowsOf(r *connect.Record) []string {
	if !r.Op.HasRow() {
		return nil
	}
	name := r.Table.Database + "\x00" + r.Table.Name + "\x00"
	if len(r.Table.Key) > 0 {
		return []string{name + rowName(r.Table, r.Key(), r.Table.Key)}
	}
	all := make([]int, len(r.Table.Columns))
	for i := range all {
		all[i] = i
	}
	var list []string
	for _, row := range []schema.Row{r.Before, r.After} {
		if len(row) == len(all) {
			list = append(list, name+rowName(r.Table, row, all))
		}
	}
	return list
}

func rowName(t *schema.Table, row schema.Row, columns []int) string {
	var b []byte
	for _, c := range columns {
		col := &t.Columns[c]
		if text := row[c]; col.Type.IsText() && text.Kind() == schema.String && !strings.HasSuffix(col.Collation, "_bin") {
			b = append(append(b, loose(string(text.Bytes()))...), 0)
			continue
		}
		b = connect.AppendKey(b, row, []int{c})
	}
	return string(b)
}

// letterPairs are letters that collations take for two, or for another, and
// that Unicode does not take apart.
var letterPairs = strings.NewReplacer("ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "đ", "d", "ł", "l", "ð", "d", "þ", "th", "ı", "i", "ss", "s")

// loose returns what is left of a text where case, marks and spaces at the end
// do not count: rather more texts are alike so than by a collation.
func loose(text string) string {
	plain := strings.Map(func(c rune) rune {
		if unicode.IsMark(c) {
			return -1
		}
		return unicode.ToLower(c)
	}, norm.NFKD.String(text))
	return strings.TrimRight(letterPairs.Replace(letterPairs.Replace(plain)), " ")
}

// look returns an error if one of the rows has changed since and the target may
// have that, or if nothing is known of it.
func (n *newer) look(ctx context.Context) error {
	if n.free {
		return nil
	}
	topics, err := n.a.log.Topics(ctx)
	if err != nil {
		return fmt.Errorf("list topics: %w", err)
	}
	first, end := int64(0), int64(0)
	if parts, ok := topics[n.at.topic]; ok && n.at.num < parts {
		if first, end, err = n.a.log.Bounds(ctx, n.at.topic, n.at.num); err != nil {
			return fmt.Errorf("bounds of %s/%d: %w", n.at.topic, n.at.num, err)
		}
	}
	if n.offset < first || n.offset >= end {
		return fmt.Errorf("what came after it (%s/%d from offset %d on) is not in the topic any more, so nobody knows whether its row has changed since; "+
			"look at the row in the target, and drop the letter or send it with force", n.at.topic, n.at.num, n.offset)
	}
	if n.next >= end {
		return nil
	}
	return n.scan(ctx, end)
}

// scan looks at the changes up to end.
func (n *newer) scan(ctx context.Context, end int64) error {
	r, err := n.a.log.OpenReader(ctx, []connect.Cursor{{Topic: n.at.topic, Partition: n.at.num, Offset: n.next}})
	if err != nil {
		return fmt.Errorf("open reader: %w", err)
	}
	defer r.Close()
	var msgs connect.Messages
	var b connect.Batch
	defer msgs.Reset()
	defer b.Reset()
	for n.next < end {
		msgs.Reset()
		if err := r.Read(ctx, &msgs, sinkReadBytes); err != nil {
			return fmt.Errorf("read what came after it: %w", err)
		}
		for i := range msgs.List {
			b.Reset()
			if err := n.message(ctx, &b, msgs.List[i:i+1]); err != nil {
				return err
			}
			n.next = msgs.List[i].Offset + 1
		}
	}
	return nil
}

// message looks at the changes of one message.
func (n *newer) message(ctx context.Context, b *connect.Batch, m []connect.Message) error {
	if err := n.a.conv.Decode(b, m); err != nil {
		if !ofMessage(err) {
			return err
		}
		return nil // it is a letter itself, or was one
	}
	for i := range b.Records {
		b.Records[i].Offset = m[0].Offset
	}
	if err := n.a.chain.apply(ctx, b, func(*connect.Record, refusal) error { return nil }); err != nil {
		return err
	}
	for i := range b.Records {
		if err := n.check(ctx, &b.Records[i]); err != nil {
			return err
		}
	}
	return nil
}

// check returns an error if r is a change of one of the rows that came after
// the letter and is no letter that waits, or was given up, itself.
func (n *newer) check(ctx context.Context, r *connect.Record) error {
	if r.Offset == n.offset && r.Seq <= n.seq || r.Op == connect.OpMessage || r.Op == connect.OpSchema || !n.tables[[2]string{r.Table.Database, r.Table.Name}] {
		return nil
	}
	ids := rowsOf(r)
	if r.Op.HasRow() && len(n.rows) > 0 && !slices.ContainsFunc(ids, func(id string) bool { return n.rows[id] }) {
		return nil
	}
	if err := n.a.loadUndelivered(ctx); err != nil {
		return err
	}
	if n.a.undelivered[changeOf(r, n.at)] {
		return nil
	}
	return fmt.Errorf("a newer change of its row (op %c of %s) stands at offset %d of %s/%d, committed at %s: sent again, the letter would undo it; "+
		"drop it, or send it with force", r.Op, r.Table, r.Offset, n.at.topic, n.at.num, time.UnixMicro(r.Time).UTC().Format(time.RFC3339))
}

// loadUndelivered finds out which changes are letters that nobody has sent.
func (a *again) loadUndelivered(ctx context.Context) error {
	if a.undelivered != nil {
		return nil
	}
	found := map[changeID]bool{}
	err := deadletter.Each(ctx, a.log, a.topic, a.name, func(m *connect.Message, l deadletter.Letter) error {
		c, ok := l.Cause()
		if !ok || l.State == deadletter.Sent || m.Value == nil {
			return nil
		}
		var msgs connect.Messages
		var b connect.Batch
		defer msgs.Reset()
		defer b.Reset()
		keep(&msgs, m)
		if err := a.prepare(ctx, &b, msgs.List, &c); err != nil && ctx.Err() != nil {
			return err // else it has the rows that it had
		}
		for i := range b.Records {
			found[changeOf(&b.Records[i], partition{c.Topic, c.Partition})] = true
		}
		return nil
	})
	if err != nil {
		return errors.Join(errors.New("which changes have become dead letters is not known"), err)
	}
	a.undelivered = found
	return nil
}
