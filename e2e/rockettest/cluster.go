package rockettest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/towline/towline/connect/rocketlog/remoting"
	"github.com/towline/towline/e2e/child"
)

// ErrNotInstalled is returned by Launch when there is no RocketMQ to start.
var ErrNotInstalled = errors.New("no RocketMQ is installed: run 'make servers'")

// startTimeout is generous: it ends a hang, not a slow machine's work.
const startTimeout = 3 * time.Minute

// Config says what cluster is wanted.
type Config struct {
	Brokers  int      // 0: one
	Settings []string // more lines for the configuration of brokers, such as flushDiskType=SYNC_FLUSH
	Java     []string // more flags for all JVMs, such as -Dtls.server.mode=enforcing
	// Fast is for benchmarks: JVMs with all of their compilers and more memory.
	Fast bool
	// Front is another address of this machine, such as 127.0.0.2, that brokers
	// tell others to reach them at, by the same port: a proxy is to be there.
	Front string
}

// Cluster is a name server and its brokers.
type Cluster struct {
	// NameServer is its address.
	NameServer string
	// Brokers are named a, b and so on.
	Brokers []*Server

	name   *Server
	dir    string
	leases []*child.Lease
}

// installation is what the script made.
type installation struct{ java, lib string }

func findInstallation() (*installation, error) {
	dir, err := child.ServersDir()
	if err != nil {
		return nil, err
	}
	dir = filepath.Join(dir, "rocketmq")
	if _, err := os.Stat(filepath.Join(dir, "installed")); err != nil {
		return nil, fmt.Errorf("rockettest: look into %s: %w", dir, ErrNotInstalled)
	}
	java, err := os.ReadFile(filepath.Join(dir, "java"))
	if err != nil {
		return nil, fmt.Errorf("rockettest: look into %s: %w", dir, ErrNotInstalled)
	}
	return &installation{strings.TrimSpace(string(java)), filepath.Join(dir, "lib")}, nil
}

// Launch starts a cluster and waits until its brokers are known to its name
// server. The context bounds the start alone.
func Launch(ctx context.Context, cfg Config) (_ *Cluster, err error) {
	in, err := findInstallation()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "towline-rocketmq-")
	if err != nil {
		return nil, fmt.Errorf("rockettest: make folder: %w", err)
	}
	c := &Cluster{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, c.Close())
		}
	}()
	if err := c.plan(in, cfg); err != nil {
		return nil, err
	}
	if err := c.name.Start(ctx); err != nil {
		return nil, err
	}
	started := make(chan error, len(c.Brokers))
	for _, b := range c.Brokers {
		go func() { started <- b.Start(ctx) }()
	}
	for range c.Brokers {
		err = errors.Join(err, <-started)
	}
	return c, err
}

// plan makes the servers, and writes down how they are to run.
func (c *Cluster) plan(in *installation, cfg Config) error {
	conf := filepath.Join(c.dir, "conf")
	if err := os.Mkdir(conf, 0o755); err != nil {
		return fmt.Errorf("rockettest: make folder: %w", err)
	}
	if err := os.WriteFile(filepath.Join(conf, "rmq.logback-test.xml"), []byte(logging), 0o644); err != nil {
		return fmt.Errorf("rockettest: write configuration: %w", err)
	}
	java := []string{in.java, "-XX:+UseSerialGC", "-Xshare:auto", "-cp", conf + ":" + filepath.Join(in.lib, "*"), tlsOff}
	java = append(java, cfg.Java...)
	if !cfg.Fast {
		java = append(java, "-XX:TieredStopAtLevel=1")
	}
	lease, err := c.lease()
	if err != nil {
		return err
	}
	c.NameServer = net.JoinHostPort("127.0.0.1", strconv.Itoa(lease))
	c.name, err = c.server("namesrv", lease, append(java[:len(java):len(java)], "-Xms32m", "-Xmx128m",
		"org.apache.rocketmq.namesrv.NamesrvStartup"), []string{"listenPort=" + strconv.Itoa(lease)})
	if err != nil {
		return err
	}
	memory := []string{"-Xms128m", "-Xmx384m", "-XX:MaxDirectMemorySize=256m"}
	if cfg.Fast {
		memory = []string{"-Xms512m", "-Xmx1g", "-XX:MaxDirectMemorySize=512m"}
	}
	for i := range max(1, cfg.Brokers) {
		args := append(append(java[:len(java):len(java)], memory...), "org.apache.rocketmq.broker.BrokerStartup")
		if err := c.addBroker(string(rune('a'+i)), args, cfg); err != nil {
			return err
		}
	}
	return nil
}

// tlsOff spares servers the making of a certificate, which takes them longer
// than all the rest.
const tlsOff = "-Dtls.server.mode=disabled"

func (c *Cluster) addBroker(name string, java []string, cfg Config) error {
	port, err := c.brokerPort()
	if err != nil {
		return err
	}
	ha, err := c.lease()
	if err != nil {
		return err
	}
	store := filepath.Join(c.dir, name)
	lines := append([]string{
		"brokerClusterName=towline", "brokerName=" + name, "brokerId=0", "brokerIP1=127.0.0.1", "brokerIP2=127.0.0.1",
		"listenPort=" + strconv.Itoa(port), "haListenPort=" + strconv.Itoa(ha), "namesrvAddr=" + c.NameServer,
		"storePathRootDir=" + store, "storePathCommitLog=" + filepath.Join(store, "commitlog"),
		"autoCreateTopicEnable=false", "mappedFileSizeCommitLog=67108864", "mappedFileSizeConsumeQueue=600000", "maxIndexNum=40000", "maxHashSlotNum=10000",
		"timerWheelEnable=false",
	}, cfg.Settings...)
	if cfg.Front != "" {
		lines = append(lines, "bindAddress=127.0.0.1", "brokerIP1="+cfg.Front)
	}
	b, err := c.server(name, port, java, lines)
	if err != nil {
		return err
	}
	b.ready = func(ctx context.Context) error { return c.registered(ctx, name) }
	c.Brokers = append(c.Brokers, b)
	return nil
}

// registered returns nil once the name server knows a broker.
func (c *Cluster) registered(ctx context.Context, name string) error {
	cl := remoting.New(remoting.Options{})
	defer cl.Close()
	all, err := cl.Brokers(ctx, c.NameServer, "")
	if err != nil {
		return err
	}
	for _, b := range all {
		if b.Name == name {
			return nil
		}
	}
	return fmt.Errorf("broker %s is not registered yet", name)
}

// Admin runs RocketMQ's own tool, mqadmin, and returns what it prints.
func (c *Cluster) Admin(ctx context.Context, args ...string) (string, error) {
	in, err := findInstallation()
	if err != nil {
		return "", err
	}
	args = append([]string{"-Duser.home=" + c.dir, "-XX:TieredStopAtLevel=1", "-Xshare:auto", "-cp", filepath.Join(c.dir, "conf") + ":" + filepath.Join(in.lib, "*"),
		"org.apache.rocketmq.tools.command.MQAdminStartup"}, args...)
	cmd := exec.CommandContext(ctx, in.java, append(args, "-n", c.NameServer)...)
	cmd.Dir, cmd.Env = c.dir, append(os.Environ(), "ROCKETMQ_HOME="+c.dir)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return string(out), fmt.Errorf("rockettest: mqadmin %s: %w\n%s", strings.Join(args[6:], " "), err, out)
	}
	return string(out), nil
}

// lease takes a port that stays the cluster's.
func (c *Cluster) lease() (int, error) {
	l, err := child.LeasePort(0)
	if err != nil {
		return 0, err
	}
	c.leases = append(c.leases, l)
	return l.Port, nil
}

// brokerPort takes a port whose last neighbour but one, which a broker takes
// as well, is free too.
func (c *Cluster) brokerPort() (int, error) {
	for {
		port, err := c.lease()
		if err != nil {
			return 0, err
		}
		if l, err := child.LeasePort(port - 2); err == nil {
			c.leases = append(c.leases, l)
			return port, nil
		}
	}
}

// Close ends the servers and removes all that they had.
func (c *Cluster) Close() error {
	var errs []error
	for _, s := range append(c.Brokers[:len(c.Brokers):len(c.Brokers)], c.name) {
		if s != nil {
			errs = append(errs, s.Kill())
		}
	}
	for _, l := range c.leases {
		errs = append(errs, l.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(c.dir))...)
}

// logging has servers say what is wrong and nothing else.
const logging = `<configuration><statusListener class="ch.qos.logback.core.status.NopStatusListener"/>
<appender name="OUT" class="ch.qos.logback.core.ConsoleAppender"><encoder><pattern>%d{HH:mm:ss.SSS} %-5level %logger{0} %msg%n</pattern></encoder></appender>
<root level="WARN"><appender-ref ref="OUT"/></root></configuration>
`
