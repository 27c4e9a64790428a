package frame

import (
	"fmt"
	"slices"

	"github.com/towline/towline/connect"
)

// maxPartition bounds the table that group look-ups take.
const maxPartition = 1 << 20

// groups splits the records of a batch by partition. The records of a group
// are a list through next, in the order of the batch; groups are in the order
// of their first records.
type groups struct {
	list   []group
	of     []int32 // by record: its group
	next   []int32 // by record; -1 ends a list
	topics map[string]*topicGroups
}

type group struct {
	topic     *topicGroups
	partition int32
	last      int32 // record
}

// topicGroups has the group of each partition of one topic.
type topicGroups struct {
	name string
	of   []int32 // index into list plus 1; 0: none yet
}

func (g *groups) split(records []connect.Record) error {
	g.reset(len(records))
	var topic *topicGroups
	for i := range records {
		r := &records[i]
		if topic == nil || topic.name != r.Topic {
			topic = g.topic(r.Topic)
		}
		p := r.Partition
		if uint(p) >= uint(len(topic.of)) {
			if err := topic.reach(p); err != nil {
				return fmt.Errorf("frame: encode record %d: %w", i, err)
			}
		}
		g.next[i] = -1
		if n := topic.of[p]; n > 0 {
			g.of[i] = n - 1
			had := &g.list[n-1]
			g.next[had.last] = int32(i)
			had.last = int32(i)
			continue
		}
		g.of[i] = int32(len(g.list))
		g.list = append(g.list, group{topic: topic, partition: p, last: int32(i)})
		topic.of[p] = int32(len(g.list))
	}
	return nil
}

// reset forgets the groups of the batch before.
func (g *groups) reset(n int) {
	for i := range g.list {
		g.list[i].topic.of[g.list[i].partition] = 0
	}
	g.list = g.list[:0]
	g.next = slices.Grow(g.next[:0], n)[:n]
	g.of = slices.Grow(g.of[:0], n)[:n]
	if g.topics == nil || len(g.topics) > maxCachedTopics {
		g.topics = make(map[string]*topicGroups)
	}
}

func (g *groups) topic(name string) *topicGroups {
	t := g.topics[name]
	if t == nil {
		t = &topicGroups{name: name}
		g.topics[name] = t
	}
	return t
}

// reach makes room for partition p.
func (t *topicGroups) reach(p int32) error {
	if p < 0 || p >= maxPartition {
		return fmt.Errorf("partition %d of topic %q: partitions are numbered from 0 to %d", p, t.name, maxPartition-1)
	}
	t.of = append(t.of, make([]int32, int(p)+1-len(t.of))...)
	return nil
}
