package mysql

import (
	"strings"
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
)

func TestCheck(t *testing.T) {
	srv := mysqltest.Start(t, mysqltest.NoGTID(), mysqltest.Flags("--binlog-row-image=MINIMAL", "--binlog-ignore-db=nobody", "--binlog-expire-logs-seconds=60"))
	r := newRig(t, srv)
	r.exec(t, "CREATE TABLE nokey (id INT); CREATE TABLE old (id INT PRIMARY KEY) ENGINE = MyISAM; CREATE USER poor@'%' IDENTIFIED BY 'poor'; GRANT SELECT ON "+r.db+".* TO poor@'%'")
	r.values[optUser], r.values[optPassword] = "poor", "poor"
	r.values[optTableInclude] = r.db + `\..*,` + `no\.such`
	findings, err := Check(t.Context(), r.config())
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, f := range findings {
		text := "warn"
		if f.OK {
			text = "ok"
		} else if f.Fatal {
			text = "fatal"
		}
		if !f.OK && f.Fix == "" {
			t.Errorf("%s: no fix", f.What)
		}
		all = append(all, text+" "+f.What+" => "+f.Fix)
	}
	text := strings.Join(all, "\n")
	for _, want := range []string{
		"ok log_bin is ON", "ok binlog_format is 'ROW'", "fatal binlog_row_image is 'MINIMAL'", "=> SET PERSIST binlog_row_image = 'FULL'",
		"warn binlog_row_metadata is 'MINIMAL'", "warn gtid_mode is OFF",
		"warn binlog_expire_logs_seconds is 60", "fatal the user lacks REPLICATION SLAVE => GRANT REPLICATION SLAVE ON *.* TO 'poor'@'%'",
		"fatal the user lacks REPLICATION CLIENT", `warn "no\\.such" in table.include.list matches nothing`, "ok 2 tables are captured",
		".`nokey` has no key", ".`old` is of engine MyISAM",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not among\n%s", want, text)
		}
	}
	r.values[optUser], r.values[optPassword] = srv.User, srv.Password
	if findings, err = Check(t.Context(), r.config()); err != nil {
		t.Fatal(err)
	}
	found := false
	for _, f := range findings {
		found = found || strings.Contains(f.What, "binlog_ignore_db is 'nobody'")
	}
	if !found {
		t.Errorf("binlog_ignore_db is not among %+v", findings)
	}
	r.values[optPassword] = "wrong"
	if findings, err = Check(t.Context(), r.config()); err != nil || len(findings) != 1 || !findings[0].Fatal {
		t.Errorf("with a wrong password: %+v, %v", findings, err)
	}
}
