package mysql

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/towline/towline/connect"
)

// filter says which tables are captured, and which columns of them.
type filter struct {
	dbInclude, dbExclude         []*regexp.Regexp
	tableInclude, tableExclude   []*regexp.Regexp
	columnInclude, columnExclude []*regexp.Regexp
	keys                         []keyRule
	masks                        []maskRule
	whole                        string // a table of which no column is left out
}

func newFilter(cfg connect.Config) (*filter, error) {
	var f filter
	for _, l := range []struct {
		option string
		list   *[]*regexp.Regexp
	}{
		{optDBInclude, &f.dbInclude}, {optDBExclude, &f.dbExclude},
		{optTableInclude, &f.tableInclude}, {optTableExclude, &f.tableExclude},
		{optColumnInclude, &f.columnInclude}, {optColumnExclude, &f.columnExclude},
	} {
		var err error
		if *l.list, err = anchored(cfg.List(l.option)); err != nil {
			return nil, fmt.Errorf("%s: %w", l.option, err)
		}
	}
	var err error
	if f.keys, err = parseKeys(cfg.String(optKeys)); err != nil {
		return nil, fmt.Errorf("%s: %w", optKeys, err)
	}
	f.masks, err = newMaskRules(cfg)
	return &f, err
}

// anchored compiles expressions that match whole names, in any letter case.
func anchored(patterns []string) (list []*regexp.Regexp, err error) {
	for _, p := range patterns {
		re, err := regexp.Compile("^(?i:" + p + ")$")
		if err != nil {
			return nil, fmt.Errorf("%q is not a regular expression: %w", p, err)
		}
		list = append(list, re)
	}
	return list, nil
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
