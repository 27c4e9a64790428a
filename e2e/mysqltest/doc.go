// Package mysqltest starts real MySQL servers for tests, benchmarks and the demo.
//
// # Purpose
//
// A test that needs a server of its own calls [Start]; tests that only need some server share one
// per process by [Shared], with [Main] in their TestMain to stop it:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(mysqltest.Main(m)) }
//
//	func TestCopy(t *testing.T) {
//		srv := mysqltest.Shared(t)
//		db := srv.CreateDB(t)
//		srv.Exec(t, "CREATE TABLE "+db+".t (id INT PRIMARY KEY)")
//	}
//
// Programs that are no tests use [Launch] and [Server.Close]. The package imports nothing of Towline
// but e2e/child, so that every package can use it in its tests.
//
// # Where the servers come from
//
// e2e/servers/install.sh and mariadb.sh ("make servers") install MySQL and MariaDB, each with an
// initialised template datadir. A server starts from a copy of its template in one to two seconds. When nothing is installed tests
// are skipped, or fail when TOWLINE_REQUIRE_SERVERS=1; under -short they are always skipped.
// TOWLINE_TEST_MYSQL names a server by its DSN (go-sql-driver form, with admin rights): Shared then
// uses it and starts none.
//
// # Ownership
//
// A server owns its folder, its port and its process. The folder is temporary and removed by Close,
// unless [Config.DataDir] names one that is to be kept. Folder and port are held by file locks, so
// that neither two tests nor two processes can take the same. mysqld dies with the process that
// started it, even when that is killed with SIGKILL; what such a process leaves on disk is removed by
// the next Launch.
//
// # Concurrency
//
// All methods of Server and Proxy may be called by several goroutines. Stop, Kill, Restart and Close
// run one after the other. A shared server must not be stopped, killed or reconfigured by a test:
// another test may be using it.
//
// # Errors
//
// Functions that take a testing.TB fail the test; all others return errors that carry the end of the
// server's error log where that explains them.
package mysqltest
