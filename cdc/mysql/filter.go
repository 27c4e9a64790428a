package mysql

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/towline/towline/connect"
)

// filter says which tables are captured.
type filter struct {
	dbInclude, dbExclude       []*regexp.Regexp
	tableInclude, tableExclude []*regexp.Regexp
}

func newFilter(cfg connect.Config) (*filter, error) {
	var f filter
	for _, l := range []struct {
		option string
		list   *[]*regexp.Regexp
	}{
		{optDBInclude, &f.dbInclude}, {optDBExclude, &f.dbExclude},
		{optTableInclude, &f.tableInclude}, {optTableExclude, &f.tableExclude},
	} {
		for _, p := range cfg.List(l.option) {
			re, err := regexp.Compile("^(?i:" + p + ")$")
			if err != nil {
				return nil, fmt.Errorf("%s: %q is not a regular expression: %w", l.option, p, err)
			}
			*l.list = append(*l.list, re)
		}
	}
	return &f, nil
}

// systemDB reports whether a database is the server's own.
func systemDB(db string) bool {
	switch strings.ToLower(db) {
	case "mysql", "sys", "information_schema", "performance_schema", "ndbinfo":
		return true
	}
	return false
}

func matches(list []*regexp.Regexp, s string) bool {
	for _, re := range list {
		if re.MatchString(s) {
			return true
		}
	}
	return false
}

// database reports whether tables of db may be captured.
func (f *filter) database(db string) bool {
	return !systemDB(db) && (len(f.dbInclude) == 0 || matches(f.dbInclude, db)) && !matches(f.dbExclude, db)
}

// table reports whether the table is captured.
func (f *filter) table(db, table string) bool {
	name := db + "." + table
	return f.database(db) && (len(f.tableInclude) == 0 || matches(f.tableInclude, name)) && !matches(f.tableExclude, name)
}
