package jdbc

import (
	"strings"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/mysqltest"
)

// MariaDB as a target is refused with what to do, before anything is written.
func TestMariaDBIsRefused(t *testing.T) {
	srv := mysqltest.Start(t, mysqltest.MariaDB())
	url := "jdbc:mysql://" + srv.Addr() + "/"
	s := newTestSink(t, url, 0, 1, "connection.user", srv.User, "table.name.format", "shop.${table}")
	defer s.Close()
	if _, err := s.Open(t.Context()); !connect.IsPermanent(err) || !strings.Contains(err.Error(), "the target is MariaDB") {
		t.Errorf("Open: %v", err)
	}
	p := Plugin()
	findings, err := p.Check(t.Context(), connect.NewConfig("x", p.Options, map[string]string{"connection.url": url, "connection.user": srv.User, "topics": "a", "table.name.format": "shop.${table}"}))
	if err != nil || len(findings) != 1 || !findings[0].Fatal || !strings.Contains(findings[0].What, "the target is MariaDB") {
		t.Errorf("the doctor says %+v, %v", findings, err)
	}
	if got := srv.Query(t, "SHOW DATABASES LIKE 'shop'"); len(got) != 0 {
		t.Errorf("%v was made", got)
	}
}
