package worker

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/schema"
)

// What is counted of the records of a table.
const (
	countRead = iota
	countWritten
	numCounts
)

var countNames = [numCounts]string{"read", "written"}

// tableCounts are the records of each table, by its shapes, that a task has
// handled since they were settled. A counter with labels takes microseconds to
// make and half a kilobyte, times two, of thousands of tables; so those are made
// when somebody asks for them, and here is what costs next to nothing.
type tableCounts map[*schema.Table]*[numCounts]int64

// maxTables bounds the shapes of tables whose counts are kept at hand.
const maxTables = 1 << 16

// count adds runs of records of one table at once.
func (t *meter) count(records []connect.Record, what int) {
	for i := 0; i < len(records); {
		table := records[i].Table
		j := i + 1
		for j < len(records) && records[j].Table == table {
			j++
		}
		c := t.tables[table]
		if c == nil {
			if len(t.tables) >= maxTables {
				t.m.settle(t.id, t.task, t.tables)
				clear(t.tables)
			}
			c = new([numCounts]int64)
			t.tables[table] = c
		}
		c[what] += int64(j - i)
		i = j
	}
}

// take returns what was counted since it was called last.
func (t *meter) take() tableCounts {
	t.mu.Lock()
	defer t.mu.Unlock()
	taken := make(tableCounts, len(t.tables))
	for table, c := range t.tables {
		if *c != [numCounts]int64{} {
			taken[table] = new(*c)
			*c = [numCounts]int64{}
		}
	}
	return taken
}

// settle adds counts to the counters.
func (m *Metrics) settle(id taskID, task string, counts tableCounts) {
	for table, c := range counts {
		name := ""
		if table != nil {
			name = table.String()
		}
		for what, n := range c {
			if n > 0 {
				m.records.WithLabelValues(id.connector, task, name, countNames[what]).Add(float64(n))
			}
		}
	}
}

// join has what t counts shown, until it leaves.
func (m *Metrics) join(t *meter) {
	m.settling.Lock()
	defer m.settling.Unlock()
	m.meters[t] = true
}

// leave settles what t has counted, and drops numbers of its task.
func (m *Metrics) leave(t *meter, what forgetting) {
	m.settling.Lock() // else somebody who asks may add to what is forgotten
	defer m.settling.Unlock()
	delete(m.meters, t)
	m.settle(t.id, t.task, t.take())
	m.forget(t.id, what)
}

func (m *Metrics) settleAll() {
	m.settling.Lock()
	defer m.settling.Unlock()
	for t := range m.meters {
		m.settle(t.id, t.task, t.take())
	}
}

// recordCollector shows the counters of the records of each table.
type recordCollector struct{ m *Metrics }

// Describe implements prometheus.Collector.
func (c recordCollector) Describe(ch chan<- *prometheus.Desc) { c.m.records.Describe(ch) }

// Collect implements prometheus.Collector.
func (c recordCollector) Collect(ch chan<- prometheus.Metric) {
	c.m.settleAll()
	c.m.records.Collect(ch)
}
