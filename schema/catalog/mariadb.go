package catalog

import "strings"

// MariaDBIdentity is an expression that tells MariaDB servers apart, in the form
// of a UUID. They have none; but the id is another on each of the servers that
// replicate from each other, and host and port on all others.
const MariaDBIdentity = "INSERT(INSERT(INSERT(INSERT(MD5(CONCAT_WS('|', @@server_id, @@hostname, @@port)), 9, 0, '-'), 14, 0, '-'), 19, 0, '-'), 24, 0, '-')"

// IsMariaDB tells it by a server's version.
func IsMariaDB(version string) bool { return strings.Contains(strings.ToLower(version), "mariadb") }
