// Package peers runs the tools that Towline is measured beside: go-mysql, a
// native replica, mysqldump, mydumper and myloader, sysbench to make a load,
// and Debezium Server with its JDBC sink.
//
// Programs come from a Debian root that e2e/servers/peers.sh makes; what is
// not there is left out (Tools.Has). A peer gets the settings that make it
// fast and that its own documentation names; they are in the code that starts
// it. Nothing here measures: it starts, waits and stops. One goroutine uses a
// value of this package; processes end with the context they were started
// with.
package peers
