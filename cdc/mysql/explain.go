package mysql

import "strings"

// unneeded are keys of Debezium that have no use here, and why; a dot at the
// end stands for all that begin so.
var unneeded = []struct{ key, why string }{
	{"schema.history.internal.", "the shapes of tables are kept with the position, in the same step"},
	{"database.history.", "the shapes of tables are kept with the position, in the same step"},
	{"database.server.name", "topic.prefix takes its place"},
	{"max.queue.size", "memory is bounded in bytes, and nothing is to be tuned"},
	{"max.queue.size.in.bytes", "memory is bounded in bytes, and nothing is to be tuned"},
	{"max.batch.size", "batches take what is there, up to a bound in bytes"},
	{"poll.interval.ms", "changes are handed on when they come"},
	{"binlog.buffer.size", "rows of transactions that are rolled back do not come out without it"},
	{"connect.keep.alive", "a connection that is silent for too long is opened anew; see binlog.heartbeat.interval.ms"},
	{"connect.keep.alive.interval.ms", "a connection that is silent for too long is opened anew; see binlog.heartbeat.interval.ms"},
	{"database.jdbc.driver", "the protocol is spoken without a driver"},
	{"driver.", "the protocol is spoken without a driver"},
	{"min.row.count.to.stream.results", "results are always streamed"},
	{"snapshot.lock.timeout.ms", "tables with a key are not locked, and others for milliseconds"},
	{"snapshot.isolation.mode", "the snapshot is exact without one"},
	{"snapshot.delay.ms", "a connector can be started later"},
	{"snapshot.include.collection.list", "tables that are captured are copied; list those"},
	{"enable.time.adjuster", "years are those that the server stores"},
	{"topic.naming.strategy", "topics have the names of topic.layout and topic.delimiter"},
	{"topic.cache.size", "there is nothing to be tuned"},
	{"errors.max.retries", "see errors.retry.timeout"},
	{"retriable.restart.connector.wait.ms", "see errors.retry.delay.max.ms"},
	{"schema.name.adjustment.mode", "names in JSON schemas are free"},
	{"field.name.adjustment.mode", "names in JSON schemas are free"},
	{"sourceinfo.struct.maker", "the block source has one form"},
	{"converters", "value.converter and transforms take their place"},
	{"custom.metric.tags", "metrics have the labels connector and task"},
}

// unsupported are keys of Debezium whose meaning is not to be had here.
var unsupported = []struct{ key, do string }{
	{"gtid.ignore.on.recovery", "it would pass over transactions; leave it out"},
	{"skip.messages.without.change", "changes of columns that are left out are told as updates; leave it out"},
	{"include.schema.comments", "comments are not in messages; leave it out"},
	{"snapshot.select.statement.overrides", "tables are copied whole; drop rows with a transform"},
	{"post.processors", "use transforms"},
}

// Explain says what to do about keys of Debezium that this source does not
// have.
func Explain(key string) string {
	for _, u := range unneeded {
		if is(key, u.key) {
			return "is not needed here: " + u.why + "; leave it out"
		}
	}
	for _, u := range unsupported {
		if is(key, u.key) {
			return "is not supported: " + u.do
		}
	}
	return ""
}

// is reports whether key is the pattern, or begins with it if it ends in a dot.
func is(key, pattern string) bool {
	return key == pattern || strings.HasSuffix(pattern, ".") && strings.HasPrefix(key, pattern)
}
