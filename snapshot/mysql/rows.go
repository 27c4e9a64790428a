package mysql

import (
	"errors"
	"fmt"
	"slices"

	"github.com/go-mysql-org/go-mysql/client"
	"github.com/go-mysql-org/go-mysql/mysql"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
	"github.com/towline/towline/snapshot"
)

// result is a binary result set that is being read.
type result struct {
	conn *client.Conn
	stmt *client.Stmt // closed at the end of the rows: only then the connection is free for it
	dec  *decoder
	in   packets
	done bool
}

const (
	comStmtExecute = 0x17
	headerEOF      = 0xfe
	headerError    = 0xff
)

var errProtocol = errors.New("the server's answer breaks the protocol")

// execute prepares and executes a query, whose columns are those of t at the
// given indexes, so that its rows come in the binary protocol.
func (r *Reader) execute(query string, t *schema.Table, columns []int) (*result, error) {
	stmt, err := r.conn.Prepare(query)
	if err != nil {
		return nil, err
	}
	if stmt.ColumnNum() != len(columns) || stmt.ParamNum() != 0 {
		return nil, fmt.Errorf("%w: %d columns, want %d", errProtocol, stmt.ColumnNum(), len(columns))
	}
	fields := make([]mysql.Field, len(columns))
	for i := range fields {
		if err := fields[i].Parse(stmt.RawColumnFields[i]); err != nil {
			return nil, err
		}
	}
	res := &result{conn: r.conn, stmt: stmt, in: packets{conn: r.conn.Conn.Conn, block: r.block, seq: 1}}
	if res.dec, err = newDecoder(t, columns, fields, r.cfg.Text); err != nil {
		return nil, errors.Join(err, stmt.Close())
	}
	packet := []byte{0, 0, 0, 0, comStmtExecute, byte(stmt.ID), byte(stmt.ID >> 8), byte(stmt.ID >> 16), byte(stmt.ID >> 24), 0, 1, 0, 0, 0}
	r.conn.ResetSequence()
	if err := r.conn.WritePacket(packet); err != nil {
		return nil, err
	}
	return res, res.header(fields)
}

// header reads what comes before the rows. The columns must still be those
// that the statement was prepared with.
func (res *result) header(fields []mysql.Field) error {
	head, err := res.packet()
	if err != nil {
		return err
	}
	if n, _, size := mysql.LengthEncodedInt(head); int(n) != len(fields) || size != len(head) {
		return errProtocol
	}
	for i := range fields {
		p, err := res.packet()
		if err != nil {
			return err
		}
		var f mysql.Field
		if err := f.Parse(p); err != nil {
			return err
		}
		if w := &fields[i]; f.Type != w.Type || f.Flag&mysql.UNSIGNED_FLAG != w.Flag&mysql.UNSIGNED_FLAG || f.Charset != w.Charset || f.Decimal != w.Decimal {
			return errors.New("the table changed while it was about to be read")
		}
	}
	if _, err := res.packet(); err != nil || !res.done {
		return errors.Join(errProtocol, err)
	}
	res.done = false
	return nil
}

// packet reads the next packet. done is set at the end of a list.
func (res *result) packet() ([]byte, error) {
	p, err := res.in.next()
	if err != nil {
		return nil, err
	}
	if len(p) == 0 {
		return nil, errProtocol
	}
	switch {
	case p[0] == headerError:
		err := res.conn.HandleErrorPacket(slices.Clone(p))
		return nil, errors.Join(err, res.stmt.Close())
	case p[0] == headerEOF && len(p) < 9:
		res.done = true
	}
	return p, nil
}

// ready reports whether a row is at hand, so that read will not wait.
func (res *result) ready() bool { return res.in.ready() }

// read returns the next row, in b's memory; nil at the end.
func (res *result) read(b *connect.Batch) (schema.Row, error) {
	if res.dec.aliases {
		res.in.into(b)
	}
	p, err := res.packet()
	if err != nil {
		return nil, err
	}
	if res.done {
		return nil, res.stmt.Close()
	}
	return res.decode(b, p)
}

func (res *result) decode(b *connect.Batch, p []byte) (schema.Row, error) {
	row, err := res.dec.row(b, p)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", snapshot.ErrTable, err)
	}
	return row, nil
}
