package jdbc

import (
	"errors"
	"fmt"
	"strings"

	"github.com/go-sql-driver/mysql"

	"github.com/towline/towline/connect"
)

// serverError returns the server's error in err, nil if it is none.
func serverError(err error) *mysql.MySQLError {
	var e *mysql.MySQLError
	if errors.As(err, &e) {
		return e
	}
	return nil
}

// isCode reports whether err is one of the server's errors with these codes.
func isCode(err error, codes ...uint16) bool {
	e := serverError(err)
	if e == nil {
		return false
	}
	for _, c := range codes {
		if e.Number == c {
			return true
		}
	}
	return false
}

// Codes of the server.
const (
	errDeadlock    = 1213
	errLockWait    = 1205
	errNoColumn    = 1054
	errNoTable     = 1146
	errNoDatabase  = 1049
	errColumnCount = 1136
	errTableExists = 1050
	errColumnTwice = 1060
	errNullColumn  = 1048
	errDuplicate   = 1062
	errNoRow       = 1032
	errTruncated   = 1265
)

// isStale reports an error that a shape which is not the table's any more
// explains.
func isStale(err error) bool {
	return isCode(err, errNoColumn, errNoTable, errNoDatabase, errColumnCount)
}

// isConflict reports an error after which the same transaction may succeed.
func isConflict(err error) bool { return isCode(err, errDeadlock, errLockWait) }

// isTrouble reports an error of a server that is not well, or not to be written
// to for now, whatever it is asked: no memory, no disk, a shutdown, read only.
func isTrouble(err error) bool {
	return isCode(err, 1021, 1037, 1038, 1040, 1041, 1042, 1043, 1045, 1053, 1077, 1078, 1079, 1080, 1114, 1129, 1130,
		1152, 1158, 1159, 1160, 1161, 1180, 1184, 1203, 1226, 1290, 1317, 1792, 1836, 1837, 3024, 3032, 3100, 3101, 3170, 3572, 3957)
}

// errData is an error about the content of a record that the server did not
// report itself.
type errData struct{ error }

// isData reports whether err is about the content of rows, so that other
// rows may do: the classes 22 (data exception) and 23 (constraint violation),
// 45 (raised by a trigger), and what the server has no class for.
func isData(err error) bool {
	var d errData
	if errors.As(err, &d) {
		return true
	}
	e := serverError(err)
	if e == nil {
		return false
	}
	switch string(e.SQLState[:2]) {
	case "22", "23", "45":
		return true
	}
	switch e.Number {
	case 1153, // packet too large
		1264, 1265, 1292, 1300, 1364, 1366, 1367, 1406, 1411, 1416, 1526, 1690, 1748,
		1105,                               // what a storage engine has no code for
		3140, 3141, 3143, 3144, 3146, 3156, // JSON
		3037, 3548, 3616, 3617, 3618, 3643, 3819, // geometry, check constraints
		6136, 6137, 6138, 6139, 6140: // vectors
		return true
	}
	return false
}

// isPermanent reports an error that no retry mends: rights, unknown users,
// statements that the server does not understand.
func isPermanent(err error) bool {
	return isCode(err, 1044, 1045, 1142, 1143, 1227, 1370, 1064, 1149, 1820, 3118, 3955)
}

// classify wraps err with the deed and marks what is permanent.
func classify(deed string, err error) error {
	if err == nil {
		return nil
	}
	err = fmt.Errorf("jdbc: %s: %w", deed, err)
	if isPermanent(err) {
		return connect.Permanent(err)
	}
	return err
}

// columnOf returns the column that a message of the server names, "" if none.
func columnOf(err error) string {
	e := serverError(err)
	if e == nil {
		return ""
	}
	i := strings.Index(strings.ToLower(e.Message), "column '")
	if i < 0 {
		return ""
	}
	rest := e.Message[i+len("column '"):]
	if j := strings.LastIndex(rest, "' at row"); j >= 0 {
		return rest[:j]
	}
	if j := strings.IndexByte(rest, '\''); j >= 0 {
		return rest[:j]
	}
	return ""
}
