package pebblelog

import (
	"slices"

	"github.com/cockroachdb/pebble/v2"
)

// Stats is what a log tells of itself.
type Stats struct {
	DiskBytes        int64 // all files of the folder that Pebble knows
	AppendedMessages int64 // since Open
	AppendedBytes    int64 // since Open, of messages as stored
	WrittenBytes     int64 // to the disk by all of Pebble's work since Open
	Partitions       []PartitionStats
}

// PartitionStats is the state of one partition.
type PartitionStats struct {
	Topic     string
	Partition int32
	First     int64 // offset of the first message there is
	End       int64 // offset that follows the last
	Bytes     int64 // held, to within a segment
}

// Stats returns the state of the log, partitions by topic and number. It works
// on a frozen log too; of a closed one it is zero.
func (l *Log) Stats() Stats {
	l.mu.Lock()
	l.awaitResume()
	if l.closed {
		l.mu.Unlock()
		return Stats{}
	}
	l.calls.Add(1)
	defer l.calls.Done()
	s := Stats{AppendedMessages: l.appendedMessages.Load(), AppendedBytes: l.appendedBytes.Load()}
	for name, t := range l.topics {
		for i := range t.partitions {
			p := &t.partitions[i]
			s.Partitions = append(s.Partitions, PartitionStats{
				Topic: name, Partition: p.index, First: p.first, End: p.end, Bytes: int64(p.held)})
		}
	}
	l.mu.Unlock()
	slices.SortFunc(s.Partitions, func(a, b PartitionStats) int {
		if a.Topic != b.Topic {
			if a.Topic < b.Topic {
				return -1
			}
			return 1
		}
		return int(a.Partition - b.Partition)
	})
	if l.db == nil {
		return s
	}
	m := l.db.Metrics()
	s.DiskBytes = int64(m.DiskSpaceUsage())
	s.WrittenBytes = l.writtenBefore + written(m)
	return s
}

// written returns what a database has written since it was opened.
func written(m *pebble.Metrics) int64 {
	n := m.WAL.BytesWritten
	for i := range m.Levels {
		n += m.Levels[i].TableBytesFlushed + m.Levels[i].TableBytesCompacted
	}
	return int64(n)
}
