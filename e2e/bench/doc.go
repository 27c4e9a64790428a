// Command bench measures Towline on the machine at hand, each figure beside a
// peer or a mark, and prints a line for each:
//
//	name value unit ratio-against [mark: met or missed] A/A spread, processor seconds, peak memory
//
// PEERS= in the environment chooses peers (go-mysql, replica, mysqldump,
// mydumper, sysbench, debezium; none for none); empty means all that are at
// hand. -only measures single figures. -keep adds the table to results.md.
//
// # The method, for those who want to attack it
//
// Absolute values say little on a noisy machine; ratios of one run say more.
// Ours and the peer run in turns (A B A B), over the same bytes and on the
// same servers; medians are compared. The A/A spread is how far equal runs of
// one side lay apart: the control. A ratio within it proves nothing.
//
// The generator is never the limit. Changes are recorded first, while Towline
// and the peer stand still at a known position, by several sessions; then each
// side reads what was recorded. Only latency is measured under a live load,
// which is paced.
//
// Rows are counted where they arrive. At the log: by the counter of records
// that were durable when it moved, towline_records_total{what="written"} of
// the source, and no row more may be counted in the end than were recorded. At
// a sink that discards: by the same counter of the sink. At a target: what
// takes the time is measured to the moment when Towline says that all has
// arrived (which a replica says by its set of GTIDs, and the others by a row
// that was changed last), and then CHECKSUM TABLE and COUNT of all tables must
// be those of the source, or the run is a failure: who says it too early is
// found out.
//
// The start of a process is not part of any rate. At the log and at a sink
// that discards, a run is measured from the first arrival that is seen, and
// what had arrived by then is not counted. At a target it is measured from the
// moment when Towline answers requests, a replica from START REPLICA, and
// Debezium, whose start takes seconds, from the first row that it has written.
// The start is a figure of its own. Command-line peers (mysqldump, mydumper,
// myloader) are measured whole, since they start in milliseconds.
//
// Everything runs on the same cores: source, target, Towline or the peer, and
// this program. So each figure also has processor seconds (utime and stime of
// /proc) for a million rows, by process, which a busy machine changes less
// than the time on the clock. What this program uses to ask is in none of them,
// what the others use to answer is.
// Peak memory is VmHWM of Towline.
//
// Servers run with innodb-flush-log-at-trx-commit=2 and sync-binlog=0, equal
// for ours and the peers, so that the disk of the machine is not what is
// measured. Towline's own log is durable all the same: it syncs. A replica
// keeps a binary log, as a source does; with it, it could become one.
//
// A broker of RocketMQ has one run behind it that is not counted, since the
// compilers of its JVM take half of the processor in the first minute. It is
// configured as RocketMQ is out of the box, ASYNC_FLUSH among it, but for larger
// answers to readers (deploy/rocketmq.md). Changes are all recorded before, so the
// backlog is deep.
//
// The JDBC sink has as many lanes as the machine has cores; a native replica has
// four workers, mydumper and myloader two threads each. All other options are at
// their defaults, but for TLS: mydumper and myloader ask for none, so where they
// or a replica are the peer, neither side uses it (copy_sb_tls says what it
// costs). Debezium and Towline both have it by default, and keep it.
//
// Latency is from the moment before a transaction of one INSERT is sent to the
// source, so it includes the source's own work, to the moment when the target
// shows the row to a SELECT or the receiver has the request. A poller looks
// every millisecond. Times are of one clock, in one process.
//
// # What is not measured
//
// Networks: all is on one machine. Other disks. Versions of MySQL other than
// the one that was installed. Debezium with several tasks: it has one.
package main
