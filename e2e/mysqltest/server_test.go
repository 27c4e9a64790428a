package mysqltest

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/towline/towline/e2e/child"
)

func TestMain(m *testing.M) {
	if os.Getenv("MYSQLTEST_CHILD") != "" {
		launchAndWait()
		return
	}
	goleak.VerifyTestMain(Main(m, Flags("--binlog-row-metadata=FULL")))
}

func TestStartDefaults(t *testing.T) {
	s := Start(t)
	got := s.Query(t, `SELECT @@gtid_mode, @@enforce_gtid_consistency, @@log_bin, @@local_infile, @@performance_schema,
		@@innodb_flush_log_at_trx_commit, @@sync_binlog, @@server_id = @@port, @@port, @@binlog_row_image, @@secure_file_priv`)
	want := []string{"ON", "ON", "1", "1", "0", "2", "0", "1", strconv.Itoa(s.Port), "FULL", ""}
	if strings.Join(got[0], ",") != strings.Join(want, ",") {
		t.Errorf("settings are %q, want %q", got[0], want)
	}
	if n := s.Query(t, "SELECT CONVERT_TZ('2026-07-01 12:00:00', 'UTC', 'Europe/Berlin')"); n[0][0] != "2026-07-01 14:00:00" {
		t.Errorf("time zones by name: got %q", n)
	}
	if _, err := os.Stat(filepath.Join(s.DataDir(), "binlog.000001")); err != nil {
		t.Error(err)
	}
}

func TestOptions(t *testing.T) {
	s := Start(t, NoGTID(), Durable(), ServerID(77), Compression(), TimeZone("Europe/Berlin"),
		PerformanceSchema(), Flags("--innodb-buffer-pool-size=64M"))
	got := s.Query(t, `SELECT @@gtid_mode, @@innodb_flush_log_at_trx_commit, @@sync_binlog, @@server_id,
		@@binlog_transaction_compression, @@global.time_zone, @@performance_schema, @@innodb_buffer_pool_size >> 20`)
	want := "OFF,1,1,77,1,Europe/Berlin,1,64"
	if strings.Join(got[0], ",") != want {
		t.Errorf("settings are %q, want %s", got[0], want)
	}
}

func TestMariaDB(t *testing.T) {
	s := Start(t, MariaDB(), ServerID(7))
	got := s.Query(t, `SELECT VERSION() LIKE '10.11.%MariaDB%', @@log_bin, @@binlog_format, @@server_id, @@gtid_domain_id`)
	if want := "1,1,ROW,7,0"; strings.Join(got[0], ",") != want {
		t.Errorf("settings are %q, want %s", got[0], want)
	}
	s.Exec(t, "CREATE DATABASE kept")
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := s.Query(t, "SHOW DATABASES LIKE 'kept'"); len(got) != 1 {
		t.Error("a restart lost a database")
	}
}

func TestInitFlags(t *testing.T) {
	s := Start(t, InitFlags("--lower-case-table-names=1"))
	if got := s.Query(t, "SELECT @@lower_case_table_names"); got[0][0] != "1" {
		t.Errorf("lower_case_table_names is %s", got[0][0])
	}
}

func TestTwoServersDiffer(t *testing.T) {
	a, b := Start(t), Start(t)
	if a.Port == b.Port || a.DataDir() == b.DataDir() {
		t.Errorf("two servers share port %d or datadir %s", a.Port, a.DataDir())
	}
	const q = "SELECT @@server_uuid"
	if a.Query(t, q)[0][0] == b.Query(t, q)[0][0] {
		t.Error("two servers have one uuid")
	}
}

func TestRestartKeepsData(t *testing.T) {
	s := Start(t)
	s.Exec(t, "CREATE DATABASE d; CREATE TABLE d.t (id INT PRIMARY KEY); INSERT INTO d.t VALUES (1)")
	uuid, addr := s.Query(t, "SELECT @@server_uuid")[0][0], s.Addr()
	end := []func() error{s.Stop, s.Kill, func() error { return nil }}
	for i, f := range end {
		if err := f(); err != nil {
			t.Fatal(err)
		}
		if err := s.Restart("--max-connections=" + strconv.Itoa(100+i)); err != nil {
			t.Fatal(err)
		}
		got := s.Query(t, "SELECT COUNT(*), @@max_connections, @@server_uuid FROM d.t")[0]
		if got[0] != strconv.Itoa(i+1) || got[1] != strconv.Itoa(100+i) || got[2] != uuid || s.Addr() != addr {
			t.Errorf("after restart %d: %q at %s", i, got, s.Addr())
		}
		s.Exec(t, "INSERT INTO d.t VALUES (?)", i+2)
	}
}

func TestKillRefusesConnections(t *testing.T) {
	s := Start(t)
	if err := s.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := s.DB().Ping(); err == nil {
		t.Error("a killed server answers")
	}
	if err := s.Kill(); err != nil {
		t.Errorf("second kill: %v", err)
	}
}

func TestCloseRemovesTemporaryHome(t *testing.T) {
	s := Start(t)
	home := filepath.Dir(s.DataDir())
	for range 2 {
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("home after close: %v", err)
	}
	if err := s.Restart(); err == nil {
		t.Error("a closed server restarts")
	}
}

func TestNamedDataDirIsKept(t *testing.T) {
	name := "test-" + strconv.Itoa(os.Getpid())
	s := Start(t, DataDir(name))
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(s.DataDir())) })
	s.Exec(t, "CREATE DATABASE kept")
	if _, err := Launch(t.Context(), Config{DataDir: name}); err == nil || !strings.Contains(err.Error(), "in use") {
		t.Errorf("second server on one datadir: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := Start(t, DataDir(name), Port(s.Port))
	if got := again.Query(t, "SHOW DATABASES LIKE 'kept'"); len(got) != 1 || again.Port != s.Port {
		t.Errorf("databases %q on port %d, want kept on %d", got, again.Port, s.Port)
	}
}

func TestLaunchSaysWhyMysqldEnded(t *testing.T) {
	child.SkipShort(t, "a MySQL server")
	_, err := Launch(t.Context(), Config{Flags: []string{"--no-such-flag"}})
	if errors.Is(err, ErrNotInstalled) {
		child.Unavailable(t, err, ErrNotInstalled)
	}
	if err == nil || !strings.Contains(err.Error(), "no-such-flag") || !errors.Is(err, errEnded) {
		t.Errorf("error is %v", err)
	}
	if _, err := Launch(t.Context(), Config{DataDir: "../x"}); err == nil || !strings.Contains(err.Error(), "plain name") {
		t.Errorf("error is %v", err)
	}
}

func TestCrashIsReported(t *testing.T) {
	s := Start(t)
	proc := s.proc
	if err := proc.Cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-proc.Done
	if err := s.Close(); err == nil || !strings.Contains(err.Error(), "crashed") {
		t.Errorf("close after a crash: %v", err)
	}
}

func TestMissingInstallation(t *testing.T) {
	t.Setenv("TOWLINE_SERVERS", t.TempDir())
	_, err := Launch(t.Context(), Config{})
	if !errors.Is(err, ErrNotInstalled) || !strings.Contains(err.Error(), "make servers") {
		t.Errorf("error is %v", err)
	}
}

func TestSharedIsOneServer(t *testing.T) {
	a := Shared(t)
	db := a.CreateDB(t)
	a.Exec(t, "CREATE TABLE "+db+".t (id INT)")
	if b := Shared(t); b != a {
		t.Error("Shared started two servers")
	}
	if got := a.Query(t, "SELECT @@binlog_row_metadata, NULL"); got[0][0] != "FULL" || got[0][1] != "NULL" {
		t.Errorf("options of Main: %q", got)
	}
}

func TestSharedGivenByEnvironment(t *testing.T) {
	own := Start(t)
	own.Exec(t, "CREATE USER boss IDENTIFIED BY 'pw'; GRANT ALL ON *.* TO boss")
	t.Setenv("TOWLINE_TEST_MYSQL", "boss:pw@tcp("+own.Addr()+")/?charset=utf8mb4")
	s, err := openShared(nil)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.User != "boss" || s.Password != "pw" || s.Port != own.Port {
		t.Errorf("given server is %s:%s at %s", s.User, s.Password, s.Addr())
	}
	if dsn := s.DSN("x"); dsn != "boss:pw@tcp("+own.Addr()+")/x?charset=utf8mb4" {
		t.Errorf("DSN is %s", dsn)
	}
	if err := s.Kill(); !errors.Is(err, errGiven) {
		t.Errorf("kill of a given server: %v", err)
	}
}

func TestExecSeesLaterStatementsFail(t *testing.T) {
	s := Shared(t)
	if _, err := s.DB().Exec("SELECT 1; SELECT * FROM no_such_db.t"); err == nil {
		t.Error("the second statement's error is lost")
	}
}

func TestTool(t *testing.T) {
	s := Shared(t)
	db := s.CreateDB(t)
	s.Exec(t, "CREATE TABLE "+db+".t (id INT PRIMARY KEY); INSERT INTO "+db+".t VALUES (4711)")
	cmd, err := s.Tool(t.Context(), "mysqldump", append(s.ClientArgs(), "--single-transaction", db)...)
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "(4711)") {
		t.Errorf("mysqldump: %v\n%s", err, out)
	}
}

// launchAndWait is a process that starts a server, says where, and waits to be killed.
func launchAndWait() {
	s, err := Launch(context.Background(), Config{Fast: true})
	if err != nil {
		os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	os.Stdout.WriteString(strconv.Itoa(s.proc.Cmd.Process.Pid) + " " + filepath.Dir(s.DataDir()) + "\n")
	select {}
}

func TestServerDiesWithKilledProcess(t *testing.T) {
	Shared(t) // skips when nothing is installed
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "MYSQLTEST_CHILD=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := out.Read(buf)
	if err != nil {
		t.Fatalf("child said nothing: %v %s", err, stderr.String())
	}
	pid, home, _ := strings.Cut(strings.TrimSpace(string(buf[:n])), " ")
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	awaitGone(t, filepath.Join("/proc", pid))
	s := Start(t) // sweeps
	if _, err := os.Stat(home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("home of the killed process: %v", err)
	}
	if _, err := os.Stat(s.DataDir()); err != nil {
		t.Errorf("the sweep took a live server's datadir: %v", err)
	}
}
