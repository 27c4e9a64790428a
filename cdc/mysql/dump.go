package mysql

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-mysql-org/go-mysql/client"
	gomysql "github.com/go-mysql-org/go-mysql/mysql"

	"github.com/towline/towline/cdc/gtid"
	"github.com/towline/towline/connect"
)

// dump is a connection on which the server sends its log.
type dump struct {
	s     *settings
	conn  *client.Conn
	in    packets
	why   atomic.Pointer[error] // of end
	maria bool                  // the server is MariaDB
}

// openDump connects as a replica and asks for the log from pos on. skipTo is
// where in pos.file the wanted part begins when it cannot be asked for.
func (s *settings) openDump(ctx context.Context, pos *position) (*dump, uint64, error) {
	return s.openDumpOf(ctx, pos, pos.mode == byDomain)
}

// openDumpOf is openDump where pos may be by file, whatever the server counts by.
func (s *settings) openDumpOf(ctx context.Context, pos *position, maria bool) (*dump, uint64, error) {
	conn, err := s.dial(ctx)
	if err != nil {
		return nil, 0, err
	}
	d := &dump{s: s, conn: conn, maria: maria}
	limited, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	stop := context.AfterFunc(limited, func() { conn.Conn.Conn.Close() })
	skipTo, err := d.start(pos)
	if !stop() && err == nil {
		err = limited.Err()
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		return nil, 0, s.explain("ask for the log of", err)
	}
	d.in = packets{conn: conn.Conn.Conn, timeout: 3 * s.heartbeat, seq: 1}
	d.in.timeout = max(d.in.timeout, 3*time.Second)
	return d, skipTo, nil
}

func (d *dump) start(pos *position) (skipTo uint64, err error) {
	if err := d.session(pos); err != nil {
		return 0, err
	}
	if err := d.sameServer(pos.server); err != nil {
		return 0, err
	}
	if err := d.rival(); err != nil {
		return 0, err
	}
	if err := d.register(); err != nil {
		return 0, err
	}
	flags := uint16(0)
	if d.maria {
		flags = dumpFlagAnnotate
	}
	switch pos.mode {
	case byGTID:
		return 0, d.dumpGTID(pos.gtids)
	case byDomain:
		return 0, d.dumpFile("", 4, flags)
	}
	from := pos.pos
	if from >= d.s.maxPos { // the command has 32 bits for it
		from, skipTo = 4, pos.pos
	}
	return skipTo, d.dumpFile(pos.file, uint32(from), flags)
}

// sameServer fails if the connection has reached another server than the one
// that was asked whether it has what follows.
func (d *dump) sameServer(want gtid.UUID) error {
	res, err := d.conn.Execute("SELECT " + identityOf(d.maria))
	if err != nil {
		return err
	}
	text, err := res.GetString(0, 0)
	if err != nil {
		return err
	}
	if have, err := gtid.ParseUUID(text); err != nil || have != want {
		return fmt.Errorf("%w: the connection for the log has reached server %s and the one before it server %s", errTwoServers, text, gtid.FormatUUID(want))
	}
	return nil
}

var errTwoServers = errors.New("the address leads to several servers, or was just moved to another one; it is tried again, but a proxy must lead all connections of this user to one server")

// session tells the server what we can do, as a replica would.
func (d *dump) session(pos *position) error {
	uuid := d.uuid()
	beat := d.s.heartbeat.Nanoseconds()
	list := []string{
		"SET @master_binlog_checksum = @@global.binlog_checksum, @source_binlog_checksum = @@global.binlog_checksum",
		fmt.Sprintf("SET @master_heartbeat_period = %d, @source_heartbeat_period = %d", beat, beat),
		fmt.Sprintf("SET @slave_uuid = '%s', @replica_uuid = '%s'", uuid, uuid),
		fmt.Sprintf("SET SESSION net_write_timeout = %d", d.s.netWrite),
	}
	if d.maria {
		list = append(list, mariaSession(pos))
	}
	for _, q := range list {
		if _, err := d.conn.Execute(q); err != nil {
			return err
		}
	}
	return nil
}

// uuid names this reader. It stays the same over restarts on one host, or on all
// of a cluster, so that the server ends a connection of ours that it still believes
// in: that of a worker that hangs, too.
func (d *dump) uuid() string {
	home := "\x00" + d.s.cluster
	if d.s.cluster == "" {
		home, _ = os.Hostname()
	}
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%d\x00%s", d.s.connector, d.s.serverID, home))
	return gtid.FormatUUID(gtid.UUID(sum[:16]))
}

// rival fails if another replica has our id: the server would end the
// connections of both in turn, for ever.
func (d *dump) rival() error {
	res, err := d.conn.Execute("SHOW REPLICAS")
	if n, _ := code(err); n == gomysql.ER_PARSE_ERROR {
		res, err = d.conn.Execute("SHOW SLAVE HOSTS")
	}
	if err != nil {
		if n, _ := code(err); n != 0 {
			return nil // not allowed to look
		}
		return err
	}
	for i := range res.RowNumber() {
		id, _ := res.GetInt(i, 0)
		host, _ := res.GetString(i, 1)
		uuid, _ := res.GetString(i, 4)
		if d.maria { // which does not keep it
			host, uuid, _ = strings.Cut(host, " ")
		}
		if uint32(id) == d.s.serverID && !strings.EqualFold(uuid, d.uuid()) {
			return fmt.Errorf("%w: a replica on host %q (UUID %s) has it", errRival, host, uuid)
		}
	}
	return nil
}

var errRival = errors.New("another replica is connected under our server id; set " + optServerID + " to a number of our own")

func (d *dump) register() error {
	host, _ := os.Hostname()
	host = host[:min(len(host), 60)]
	if d.maria {
		host = host[:min(len(host), 23)] + " " + d.uuid()
	}
	b := append(make([]byte, 4, 64), gomysql.COM_REGISTER_SLAVE)
	b = binary.LittleEndian.AppendUint32(b, d.s.serverID)
	b = append(append(b, byte(len(host))), host...)
	b = append(b, 0, 0)                   // user and password that others could use
	b = append(b, 0, 0, 0, 0, 0, 0, 0, 0) // port (2), rank (4), source id (4)
	b = append(b, 0, 0)
	d.conn.ResetSequence()
	if err := d.conn.WritePacket(b); err != nil {
		return err
	}
	reply, err := d.conn.ReadPacket()
	if err != nil {
		return err
	}
	if len(reply) > 0 && reply[0] == gomysql.ERR_HEADER {
		return serverError(reply)
	}
	return nil
}

func (d *dump) dumpFile(file string, pos uint32, flags uint16) error {
	b := append(make([]byte, 4, 64), gomysql.COM_BINLOG_DUMP)
	b = binary.LittleEndian.AppendUint32(b, pos)
	b = binary.LittleEndian.AppendUint16(b, flags)
	b = binary.LittleEndian.AppendUint32(b, d.s.serverID)
	d.conn.ResetSequence()
	return d.conn.WritePacket(append(b, file...))
}

func (d *dump) dumpGTID(set *gtid.Set) error {
	data := set.AppendDump(nil)
	b := append(make([]byte, 4, 64+len(data)), gomysql.COM_BINLOG_DUMP_GTID)
	b = append(b, dumpFlagGTID, 0)
	b = binary.LittleEndian.AppendUint32(b, d.s.serverID)
	b = binary.LittleEndian.AppendUint32(b, 0) // no file
	b = binary.LittleEndian.AppendUint64(b, 4)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(data)))
	d.conn.ResetSequence()
	return d.conn.WritePacket(append(b, data...))
}

const (
	dumpFlagAnnotate = 2 // of MariaDB: events with statements come too
	dumpFlagGTID     = 4 // the set that follows counts
)

// serverError reads an ERR packet.
func serverError(b []byte) error {
	if len(b) < 3 {
		return errors.New("the server sends a malformed error")
	}
	e := &gomysql.MyError{Code: binary.LittleEndian.Uint16(b[1:]), State: "HY000"}
	b = b[3:]
	if len(b) >= 6 && b[0] == '#' {
		e.State, b = string(b[1:6]), b[6:]
	}
	e.Message = string(b)
	return e
}

// next returns the next event, which lies in the slab in.in.
func (d *dump) next() ([]byte, error) {
	b, err := d.in.next()
	if err != nil {
		if why := d.why.Load(); why != nil {
			err = *why
		}
		return nil, err
	}
	if len(b) == 0 {
		return nil, errors.New("the server sends an empty packet")
	}
	switch b[0] {
	case gomysql.OK_HEADER:
		return b[1:], nil
	case gomysql.ERR_HEADER:
		return nil, serverError(b)
	case gomysql.EOF_HEADER:
		return nil, errors.New("the server has ended the dump of its log")
	}
	return nil, fmt.Errorf("the server sends a packet of kind 0x%02x where an event was due", b[0])
}

// end ends the connection for a reason, which a read on it returns.
func (d *dump) end(why error) {
	d.why.Store(&why)
	d.close()
}

// close ends the connection, and a read on it.
func (d *dump) close() error { return d.raw().Close() }

func (d *dump) raw() net.Conn { return d.conn.Conn.Conn }

// lost says what an error of the dump means.
func (s *settings) lost(err error, pos *position) error {
	n, words := code(err)
	if n != erLogFatal {
		return s.explain("read the log of", err)
	}
	switch {
	case strings.Contains(words, "same server_uuid/server_id"):
		// Trying again would end the other one's connection, and it ours, for ever, if
		// nothing but the server decides who has the connector.
		return fmt.Errorf("read the log of MySQL at %s: the server closed the connection, because another reader came with our server id %d or is this connector a second time: "+
			"run it once only, or set %s to a number of our own: %w (%w)", s.addr(), s.serverID, optServerID, err, connect.ErrFenced)
	case strings.Contains(words, "max_allowed_packet"), strings.Contains(words, "event size"):
		return connect.Permanent(fmt.Errorf("read the log of MySQL at %s: the server cannot send an event: %s; raise max_allowed_packet there: %w", s.addr(), words, err))
	case strings.Contains(words, "server id"):
		return connect.Permanent(fmt.Errorf("read the log of MySQL at %s: %s: %w", s.addr(), words, err))
	}
	return fmt.Errorf("read the log of MySQL at %s: %w: the server says %q; we are at %s", s.addr(), connect.ErrPositionLost, words, pos)
}
