package worker

import (
	"slices"
	"strings"
	"sync"

	"github.com/cespare/xxhash/v2"

	"github.com/towline/towline/connect/config"
)

// shares says which task of a sink reads which partitions. It is a function of
// the configuration and of the topic alone, so that tasks agree without asking each
// other, wherever they run and whenever they learn of a topic, and a new topic
// moves no partition of another. Safe for concurrent use.
type shares struct {
	tasks int
	// listed are the topics that the configuration names, nil where it has a
	// regular expression.
	listed []string

	mu     sync.Mutex
	owners map[string][]int32 // by topic: the task of each partition
}

// sinkTasks returns how many tasks a sink has. Whole transactions are in one
// partition, which has one reader.
func sinkTasks(c *config.Connector) int {
	if wholeTransactions(c) {
		return 1
	}
	return int(c.Config.Int("tasks.max"))
}

func wholeTransactions(c *config.Connector) bool {
	return strings.EqualFold(c.Config.String("transaction.mode"), "source")
}

func newShares(c *config.Connector, tasks int) *shares {
	s := &shares{tasks: tasks, owners: map[string][]int32{}}
	if !c.IsSource() {
		s.listed = c.Config.List("topics")
	}
	return s
}

// owner returns the task that reads a partition of a topic which has so many.
func (s *shares) owner(topic string, partitions, partition int32) int {
	if s.tasks == 1 {
		return 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	owners := s.owners[topic]
	if len(owners) != int(partitions) {
		owners = s.shareOut(topic, partitions)
		s.owners[topic] = owners
	}
	return int(owners[partition])
}

// count returns how many partitions of a topic a task reads.
func (s *shares) count(topic string, partitions int32, task int) (n int) {
	for i := range partitions {
		if s.owner(topic, partitions, i) == task {
			n++
		}
	}
	return n
}

// shareOut returns the task of each partition. Topics of one partition are dealt
// out in turn where they are listed: chance would be uneven for a few.
func (s *shares) shareOut(topic string, partitions int32) []int32 {
	if at := slices.Index(s.listed, topic); partitions == 1 && at >= 0 {
		return []int32{int32(at % s.tasks)}
	}
	return shareOut(topic, partitions, s.tasks)
}

// shareOut deals the partitions of a topic out to tasks: as evenly as can be,
// and with one task more or less as few of them move as can: all of those that
// move go to the new task, or come from the one that is gone. Which tasks have
// one more than the others differs from topic to topic, so over many topics tasks
// have alike.
func shareOut(topic string, partitions int32, tasks int) []int32 {
	owners, load := make([]int32, partitions), make([]int32, tasks)
	load[0] = partitions
	dice := xxhash.Sum64String(topic)
	for n := int32(1); n < int32(tasks); n++ { // from n tasks to n+1
		dice = roll(dice)
		fair, rest := partitions/(n+1), partitions%(n+1)
		if dice%uint64(n+1) < uint64(rest) {
			fair++
		}
		for ; load[n] < fair; load[n]++ {
			dice = roll(dice)
			from := largest(load[:n], dice)
			load[from]--
			owners[lastOf(owners, from)] = n
		}
	}
	return owners
}

// largest returns the task with most partitions; the dice choose among several.
func largest(load []int32, dice uint64) int32 {
	start := int(dice % uint64(len(load)))
	at := start
	for i := range load {
		if k := (start + i) % len(load); load[k] > load[at] {
			at = k
		}
	}
	return int32(at)
}

func lastOf(owners []int32, task int32) int {
	for i := len(owners) - 1; ; i-- {
		if owners[i] == task {
			return i
		}
	}
}

// roll returns the next of a sequence of numbers that look random (splitmix64).
func roll(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
