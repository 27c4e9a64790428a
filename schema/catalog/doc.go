// Package catalog reads the shapes of tables from a MySQL server's
// information_schema, MySQL 8.0 to 9.7 and MariaDB.
//
// # Consistency
//
// The columns, indexes and defaults of the tables of one database come from
// one statement, hence from one state of the server's dictionary: no table is
// read half before and half after a DDL statement. Inside a transaction of
// REPEATABLE READ the dictionary is read as of that transaction's snapshot.
//
// # Ownership and concurrency
//
// The caller owns the connection. Functions run a few statements on it, one
// after the other, and are done with it when they return. What they return
// has memory of its own.
//
// # Permissions
//
// information_schema shows only the columns that the user may read, and hides
// a generated invisible primary key when the session says so. A table that
// misses columns is an error, never a smaller table. Prepare sets a session
// up so that it does not happen without need.
//
// # Errors
//
// Functions for one table return its error. Read gives the error of a table
// that cannot be understood in its Info and reads on.
package catalog
