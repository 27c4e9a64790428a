package mysql

import (
	"fmt"
	"log/slog"

	"github.com/towline/towline/connect"
)

// guardrail bounds how many tables are captured.
type guardrail struct {
	most int // 0: no bound
	fail bool
	log  *slog.Logger
	told bool // of the tables that there are now
}

// check returns what is wrong with n tables, nil if it is only worth a warning.
func (g *guardrail) check(n int) error {
	if g.most == 0 || n <= g.most {
		g.told = false
		return nil
	}
	err := fmt.Errorf("%d tables are captured, but %s is %d; correct the lists of databases and tables, or raise it", n, optGuardMax, g.most)
	if g.fail {
		return connect.Permanent(err)
	}
	if !g.told {
		g.told = true
		g.log.Warn("mysql: " + err.Error())
	}
	return nil
}
