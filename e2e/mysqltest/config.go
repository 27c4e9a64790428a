package mysqltest

import (
	"fmt"
	"os"
	"strconv"
)

// Config says how a server is to run. The zero value is a durable server with GTIDs and a binlog,
// on a free port and in a temporary folder.
type Config struct {
	// Flags are more flags for mysqld. They follow the package's own and so win over them.
	Flags []string
	// InitFlags are flags that hold for the life of a datadir, such as --lower-case-table-names=1.
	// With any of them the datadir is initialised afresh, which takes some seconds, instead of
	// copied from the template; the server gets them as well.
	InitFlags []string
	// ServerID is the server's id in replication; 0 means its port number.
	ServerID uint32
	// Port is the TCP port on 127.0.0.1; 0 means a free one.
	Port int
	// DataDir names a datadir that is kept by Close and found again by a later Launch of the same
	// name: letters, digits, '-', '_' and '.'. Empty means a temporary one.
	DataDir string
	// Fast trades durability against power loss (not against SIGKILL) for speed.
	Fast bool
	// NoGTID turns GTIDs off.
	NoGTID bool
	// MariaDB starts MariaDB instead of MySQL. It always has GTIDs, and logs rows.
	MariaDB bool
	// PerformanceSchema turns the performance schema on, which costs some 100 MB of memory.
	PerformanceSchema bool
}

// Option changes the Config of a server that Start or Main starts. Those begin with Config{Fast: true}.
type Option func(*Config)

// Flags adds flags for mysqld, such as "--binlog-row-metadata=FULL".
func Flags(flags ...string) Option {
	return func(c *Config) { c.Flags = append(c.Flags, flags...) }
}

// InitFlags adds flags that must hold from the datadir's first moment; see [Config.InitFlags].
func InitFlags(flags ...string) Option {
	return func(c *Config) { c.InitFlags = append(c.InitFlags, flags...) }
}

// ServerID sets the server's id in replication.
func ServerID(id uint32) Option { return func(c *Config) { c.ServerID = id } }

// Port sets the TCP port.
func Port(port int) Option { return func(c *Config) { c.Port = port } }

// DataDir names a datadir that is kept; see [Config.DataDir].
func DataDir(name string) Option { return func(c *Config) { c.DataDir = name } }

// Fast is the default of Start; it undoes Durable.
func Fast() Option { return func(c *Config) { c.Fast = true } }

// Durable makes every commit reach the disk, as a production server does.
func Durable() Option { return func(c *Config) { c.Fast = false } }

// NoGTID turns GTIDs off.
func NoGTID() Option { return func(c *Config) { c.NoGTID = true } }

// MariaDB starts MariaDB instead of MySQL.
func MariaDB() Option { return func(c *Config) { c.MariaDB = true } }

// PerformanceSchema turns the performance schema on.
func PerformanceSchema() Option { return func(c *Config) { c.PerformanceSchema = true } }

// Compression makes the server write compressed transactions into its binlog.
func Compression() Option { return Flags("--binlog-transaction-compression=ON") }

// TimeZone sets the server's time zone, as an offset ("+03:00") or a name ("Europe/Berlin").
func TimeZone(zone string) Option { return Flags("--default-time-zone=" + zone) }

// newConfig is the Config of a test's server.
func newConfig(opts []Option) Config {
	cfg := Config{Fast: true}
	for _, opt := range opts {
		opt(&cfg)
	}
	return cfg
}

// args are the arguments of mysqld for a server with its folder and port.
func (c *Config) args(h *home, port int) []string {
	id := c.ServerID
	if id == 0 {
		id = uint32(port)
	}
	args := append(baseArgs(h),
		"--port="+strconv.Itoa(port),
		"--bind-address=127.0.0.1",
		"--socket="+h.socket(port),
		"--pid-file="+h.seen("mysqld.pid"),
		fmt.Sprintf("--server-id=%d", id),
		"--log-bin=binlog",
		"--secure-file-priv=",
		"--local-infile=1",
		"--skip-name-resolve",
		"--innodb-buffer-pool-size=128M",
		"--innodb-log-buffer-size=16M",
	)
	args = append(args, c.flavour()...)
	if !c.PerformanceSchema {
		args = append(args, "--performance-schema=OFF")
	}
	if c.Fast {
		args = append(args, "--innodb-flush-log-at-trx-commit=2", "--sync-binlog=0")
	}
	args = append(args, c.InitFlags...)
	return append(args, c.Flags...)
}

// flavour are the arguments that MySQL and MariaDB do not share.
func (c *Config) flavour() []string {
	if c.MariaDB {
		return []string{"--innodb-log-file-size=64M", "--binlog-format=ROW"}
	}
	gtid := "ON" // said either way: the default differs between versions
	if c.NoGTID {
		gtid = "OFF"
	}
	return []string{"--mysqlx=OFF", "--innodb-redo-log-capacity=64M", "--gtid-mode=" + gtid, "--enforce-gtid-consistency=" + gtid}
}

// baseArgs are the arguments that an initialising mysqld shares with a serving one.
func baseArgs(h *home) []string {
	args := []string{"--no-defaults", "--datadir=" + h.seen("data")}
	if os.Geteuid() == 0 {
		args = append(args, "--user=root")
	}
	return args
}
