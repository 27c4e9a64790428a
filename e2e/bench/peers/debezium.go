package peers

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
)

// debeziumHome is where Debezium Server is in the root.
const debeziumHome = "opt/debezium-server"

func (t *Tools) debeziumVersion() string {
	jars, _ := filepath.Glob(filepath.Join(t.root, debeziumHome, "debezium-server-dist-*-runner.jar"))
	if len(jars) != 1 {
		return "unknown"
	}
	return strings.TrimSuffix(strings.TrimPrefix(filepath.Base(jars[0]), "debezium-server-dist-"), "-runner.jar")
}

// Debezium is a Debezium Server that copies a database into another server and
// follows it, by its JDBC sink. It goes on where it was when it is started
// again.
type Debezium struct {
	Tools          *Tools
	Source, Target *mysqltest.Server
	Database       string
	Name           string // of its folder
	cmd            *exec.Cmd
	log            string
	ended          chan struct{} // closed when it has
}

// It takes no empty password, so it has a user of its own.
const debeziumUser, debeziumPassword = "debezium", "debezium-secret"

// Prepare makes its user on both servers.
func (d *Debezium) Prepare(ctx context.Context) error {
	for _, s := range []*mysqltest.Server{d.Source, d.Target} {
		_, err := s.DB().ExecContext(ctx, fmt.Sprintf("CREATE USER IF NOT EXISTS '%s'@'%%' IDENTIFIED BY '%s'; GRANT ALL ON *.* TO '%[1]s'@'%%'", debeziumUser, debeziumPassword))
		if err != nil {
			return err
		}
	}
	return nil
}

// Start starts it.
func (d *Debezium) Start() error {
	inside, outside := "/tmp/towline-"+d.Name, filepath.Join(d.Tools.root, "tmp", "towline-"+d.Name)
	for _, dir := range []string{"config", "data"} {
		if err := os.MkdirAll(filepath.Join(outside, dir), 0o755); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(outside, "config", "application.properties"), []byte(d.properties(inside)), 0o644); err != nil {
		return err
	}
	d.log = filepath.Join(outside, "log")
	log, err := os.OpenFile(d.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	home := "/" + debeziumHome
	d.cmd = d.Tools.commandWithProc(inside, "java", "-Xmx2g", "-cp", home+"/debezium-server-dist-"+d.Tools.debeziumVersion()+"-runner.jar:"+home+"/lib/*", "io.debezium.server.Main")
	d.cmd.Stdout, d.cmd.Stderr = log, log
	if err := d.cmd.Start(); err != nil {
		return err
	}
	d.ended = make(chan struct{})
	go func(cmd *exec.Cmd, ended chan struct{}) {
		_ = cmd.Wait() // by a signal: never 0
		close(ended)
	}(d.cmd, d.ended)
	return nil
}

// AwaitRows waits until the target has a row of a table: the start of a
// virtual machine takes seconds.
func (d *Debezium) AwaitRows(ctx context.Context, table string) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	for {
		var one int
		err := d.Target.DB().QueryRowContext(ctx, "SELECT 1 FROM "+d.Database+"."+table+" LIMIT 1").Scan(&one)
		if err == nil {
			return nil
		}
		select {
		case <-d.ended:
			return fmt.Errorf("debezium has ended\n%s", d.Tail())
		case <-ctx.Done():
			return fmt.Errorf("debezium writes no rows: %w\n%s", err, d.Tail())
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// properties are its settings: batches of 8192 rows with as many in a
// statement, which its documentation advises for throughput, and a queue to
// match.
func (d *Debezium) properties(dir string) string {
	set := map[string]string{
		"debezium.sink.type":                                                     "jdbc",
		"debezium.sink.jdbc.connection.url":                                      fmt.Sprintf("jdbc:mysql://%s:%d/%s?rewriteBatchedStatements=true&useSSL=false&allowPublicKeyRetrieval=true", d.Target.Host, d.Target.Port, d.Database),
		"debezium.sink.jdbc.connection.username":                                 debeziumUser,
		"debezium.sink.jdbc.connection.password":                                 debeziumPassword,
		"debezium.sink.jdbc.insert.mode":                                         "upsert",
		"debezium.sink.jdbc.delete.enabled":                                      "true",
		"debezium.sink.jdbc.primary.key.mode":                                    "record_key",
		"debezium.sink.jdbc.schema.evolution":                                    "none",
		"debezium.sink.jdbc.use.reduction.buffer":                                "true",
		"debezium.sink.jdbc.batch.size":                                          "8192",
		"debezium.sink.jdbc.collection.name.format":                              "${source.table}",
		"debezium.source.connector.class":                                        "io.debezium.connector.mysql.MySqlConnector",
		"debezium.source.offset.storage.file.filename":                           dir + "/data/offsets",
		"debezium.source.offset.flush.interval.ms":                               "1000",
		"debezium.source.schema.history.internal":                                "io.debezium.storage.file.history.FileSchemaHistory",
		"debezium.source.schema.history.internal.file.filename":                  dir + "/data/history",
		"debezium.source.database.hostname":                                      d.Source.Host,
		"debezium.source.database.port":                                          fmt.Sprint(d.Source.Port),
		"debezium.source.database.user":                                          debeziumUser,
		"debezium.source.database.password":                                      debeziumPassword,
		"debezium.source.database.server.id":                                     "5401",
		"debezium.source.database.include.list":                                  d.Database,
		"debezium.source.topic.prefix":                                           "d",
		"debezium.source.snapshot.mode":                                          "initial",
		"debezium.source.snapshot.locking.mode":                                  "none",
		"debezium.source.max.batch.size":                                         "8192",
		"debezium.source.max.queue.size":                                         "32768",
		"debezium.source.poll.interval.ms":                                       "50",
		"debezium.source.schema.history.internal.store.only.captured.tables.ddl": "true",
		"quarkus.log.level":                                                      "WARN",
		"quarkus.log.console.json.enabled":                                       "false",
		"quarkus.http.port":                                                      "0",
	}
	var b strings.Builder
	for _, k := range slices.Sorted(maps.Keys(set)) { // a backslash keeps ${ from being expanded, and another one the first
		fmt.Fprintf(&b, "%s=%s\n", k, strings.ReplaceAll(set[k], "${", `\\${`))
	}
	return b.String()
}

// PID is the number of its process.
func (d *Debezium) PID() int { return d.cmd.Process.Pid }

// Stop ends it as an operator would, so that its offsets are saved.
func (d *Debezium) Stop() error {
	_ = d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.ended:
		return nil
	case <-time.After(time.Minute):
		_ = d.cmd.Process.Kill()
		<-d.ended
		return fmt.Errorf("debezium did not stop within a minute\n%s", d.Tail())
	}
}

// Remove removes its folder.
func (d *Debezium) Remove() error {
	return os.RemoveAll(filepath.Join(d.Tools.root, "tmp", "towline-"+d.Name))
}

// Tail is the end of its log.
func (d *Debezium) Tail() string {
	b, err := os.ReadFile(d.log)
	if err != nil {
		return err.Error()
	}
	lines := slices.DeleteFunc(strings.Split(strings.TrimSpace(string(b)), "\n"), func(l string) bool {
		return strings.HasPrefix(l, "\tat ") || strings.HasPrefix(l, "\t...")
	})
	lines = lines[max(0, len(lines)-12):]
	for i, l := range lines {
		lines[i] = l[:min(len(l), 500)]
	}
	return strings.Join(lines, "\n")
}
