package mysql

import (
	"context"
	"strings"

	gomysql "github.com/go-mysql-org/go-mysql/mysql"
)

// replica looks at a source that is a replica itself.
func (c *checker) replica(ctx context.Context) error {
	logged := c.facts.is("log_replica_updates", "ON") || c.facts.is("log_slave_updates", "ON")
	row, err := firstRow(ctx, c.db, "SHOW REPLICA STATUS")
	if n, _ := code(err); n == gomysql.ER_PARSE_ERROR {
		row, err = firstRow(ctx, c.db, "SHOW SLAVE STATUS")
	}
	if n, _ := code(err); n == erNoPrivilege {
		return nil // grants says it
	}
	if err != nil {
		return err
	}
	const fix = "start the server with --log-replica-updates=ON"
	if row == nil {
		if !logged {
			c.warn(fix, "log_replica_updates is OFF: should this server become a replica, what it replicates is not in its log")
		}
		return nil
	}
	either := func(a, b string) string {
		if v, ok := row[a]; ok {
			return v
		}
		return row[b]
	}
	if !logged {
		c.fatal(fix+", or read from its source", "the server is a replica and log_replica_updates is OFF: what it replicates is not in its log")
	}
	apply, get := either("Replica_SQL_Running", "Slave_SQL_Running"), either("Replica_IO_Running", "Slave_IO_Running")
	behind := either("Seconds_Behind_Source", "Seconds_Behind_Master")
	from := either("Source_Host", "Master_Host")
	switch {
	case !strings.EqualFold(apply, "Yes") || !strings.EqualFold(get, "Yes"):
		c.warn("SHOW REPLICA STATUS on it says why; START REPLICA", "the server is a replica of %s, and its replication does not run (receiver %s, applier %s): changes come no further than it has got", from, get, apply)
	case behind != "" && behind != "0":
		c.warn("nothing, if it catches up", "the server is a replica of %s and %s seconds behind it; changes come by as much later", from, behind)
	default:
		c.ok("the server is a replica of %s and not behind it", from)
	}
	return nil
}

// oneServer looks whether all connections reach the same server.
func (c *checker) oneServer(ctx context.Context) error {
	const tries = 4
	for range tries {
		conn, err := c.s.dial(ctx)
		if err != nil {
			return err
		}
		res, err := conn.Execute("SELECT " + c.facts.identity())
		uuid := ""
		if err == nil {
			uuid, err = res.GetString(0, 0)
		}
		conn.Close()
		if err != nil {
			return err
		}
		if !strings.EqualFold(uuid, c.facts["server_uuid"]) {
			c.fatal("have the proxy, or the name, lead all connections of this user to one server",
				"connections to %s reach several servers (%s and %s): the log and the rows of tables must come from one", c.s.addr(), c.facts["server_uuid"], uuid)
			return nil
		}
	}
	return nil
}
