package faults

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/process"
)

// One transaction of many times the memory that the program may take.
func TestHugeTransactionInLittleMemory(t *testing.T) {
	const rows, width = 200000, 3000 // 600 MB
	const limit = 300 << 20
	for _, c := range []struct {
		name string
		opt  []mysqltest.Option
	}{{"plain", nil}, {"compressed", []mysqltest.Option{mysqltest.Compression(), mysqltest.Flags("--max-allowed-packet=1G")}}} {
		t.Run(c.name, func(t *testing.T) {
			s := mysqltest.Start(t, c.opt...)
			s.Exec(t, "CREATE DATABASE big; CREATE TABLE big.t (id INT PRIMARY KEY, v MEDIUMTEXT)")
			dir := t.TempDir()
			src, err := process.Connector(dir, "src", map[string]string{"connector.class": "mysql", "database.hostname": s.Host, "database.port": fmt.Sprint(s.Port),
				"database.user": s.User, "database.include.list": "big", "topic.prefix": "b"})
			if err != nil {
				t.Fatal(err)
			}
			p := &process.Process{Bin: bin, Data: filepath.Join(dir, "data"), Log: filepath.Join(dir, "log"), Args: []string{src}}
			if err := p.Start(); err != nil {
				t.Fatal(err)
			}
			defer p.Kill()
			if err := p.AwaitUp(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := p.Wait(t.Context(), patience); err != nil {
				t.Fatal(err)
			}
			s.Exec(t, fmt.Sprintf("SET SESSION cte_max_recursion_depth = 10000000; INSERT INTO big.t WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n < %d) "+
				"SELECT n, REPEAT(SHA2(n, 256), %d) FROM s", rows, width/64))
			if err := p.Wait(t.Context(), patience); err != nil {
				t.Fatal(err)
			}
			st, err := p.Status(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if n := st.Connectors[0].Records.Written; n < rows {
				t.Errorf("%d records were written, want %d", n, rows)
			}
			peak, err := peakMemory(p.PID())
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("peak memory %d MB", peak>>20)
			if peak > limit {
				t.Errorf("the program took %d MB of memory, the limit is %d", peak>>20, limit>>20)
			}
		})
	}
}

// peakMemory returns the most memory that a process has had resident.
func peakMemory(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	sc := bufio.NewScanner(f)
	for sc.Scan() {
		if v, ok := strings.CutPrefix(sc.Text(), "VmHWM:"); ok {
			var kb int64
			_, err := fmt.Sscan(v, &kb)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no VmHWM of process %d", pid)
}
