// Package rockettest starts real RocketMQ clusters for tests and benchmarks: a
// name server and one or more brokers.
//
// # Purpose
//
// A test that stops brokers calls [Start]; tests that only need some cluster
// share one per process by [Shared], with [Main] in their TestMain to stop it:
//
//	func TestMain(m *testing.M) { goleak.VerifyTestMain(rockettest.Main(m)) }
//
// Programs that are no tests use [Launch] and [Cluster.Close].
//
// # Where the servers come from
//
// e2e/servers/rocketmq.sh ("make servers") installs them. When nothing is
// installed tests are skipped, or fail when TOWLINE_REQUIRE_SERVERS=1; under
// -short they are always skipped. A cluster is up in some seconds, most of which
// is the JVM's work.
//
// # Ownership
//
// A cluster owns its folder, ports and processes. Servers die with the process
// that started them, however it ends.
//
// # Concurrency
//
// Methods may be called by several goroutines; those of one server run one after
// the other. A shared cluster must not be stopped by a test.
package rockettest
