package worker

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect"
)

// collectTimeout bounds what a look at the metrics may ask of the log.
const collectTimeout = 5 * time.Second

// countEvery is the least between two counts of what a sink has not done: it is
// asked of each partition, of which there may be thousands.
const countEvery = time.Second

// behind is how many messages of each partition a sink has not done, as of the
// last count.
type behind struct {
	mu   sync.Mutex
	at   time.Time
	each map[partition]int64 // replaced and never changed
}

// count returns the numbers, which may be as old as countEvery.
func (b *behind) count(ctx context.Context, log connect.Log, p *progress) map[partition]int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now := time.Now(); now.Sub(b.at) >= countEvery {
		b.at, b.each = now, unread(ctx, log, p.done())
	}
	return b.each
}

// taskCollector shows numbers of tasks that are looked up when somebody asks
// for them.
type taskCollector struct {
	w                                *Worker
	records, queue, capacity, behind *prometheus.Desc
	seconds, batches, durations      *prometheus.Desc // of stages
}

// tableCollector shows the same of tables and the partitions of topics.
type tableCollector struct {
	w                    *Worker
	rows, ofRows, behind *prometheus.Desc
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("towline_"+name, help, append([]string{"connector", "task"}, labels...), nil)
}

// newTaskCollector returns the collector of w's tasks.
func newTaskCollector(w *Worker) *taskCollector {
	return &taskCollector{
		w:        w,
		records:  desc("task_records_total", "Records read and written, of all tables together.", "what"),
		queue:    desc("queue_units", "Units of records between the stages of a task."),
		capacity: desc("queue_capacity_units", "The most units of records that there may be between the stages of a task."),
		behind:   desc("lag_messages", "Messages of its topics that a sink has not done, counted once a second at most."),
		seconds: desc("stage_seconds_total", "Time that the goroutines of a task were in each stage, those of all lanes together; waiting is a stage too. "+
			"queue is the time that units waited for one.", "stage"),
		batches:   desc("stage_batches_total", "Times that each stage was gone through.", "stage"),
		durations: desc("stage_duration_seconds", "How long each stage took, and how long units waited in the queues.", "stage"),
	}
}

// newTableCollector returns the collector of the tables of w's sources and of the
// partitions that its sinks read.
func newTableCollector(w *Worker) *tableCollector {
	return &tableCollector{
		w:      w,
		rows:   desc("snapshot_rows", "Rows of a table that the snapshot has read.", "table"),
		ofRows: desc("snapshot_estimated_rows", "Rows of a table that the snapshot is to read, estimated.", "table"),
		behind: desc("partition_lag_messages", "Messages of a partition, which is a queue in RocketMQ, that a sink has not done, counted once a second at most.", "topic", "partition"),
	}
}

// Describe implements prometheus.Collector.
func (c *taskCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.records, c.queue, c.capacity, c.behind, c.seconds, c.batches, c.durations} {
		ch <- d
	}
}

// Describe implements prometheus.Collector.
func (c *tableCollector) Describe(ch chan<- *prometheus.Desc) {
	ch <- c.rows
	ch <- c.ofRows
	ch <- c.behind
}

// show sends one number of a task.
func show(ch chan<- prometheus.Metric, d *prometheus.Desc, kind prometheus.ValueType, s *supervisor, v float64, labels ...string) {
	ch <- prometheus.MustNewConstMetric(d, kind, v, append([]string{s.id.connector, itoa(s.id.task)}, labels...)...)
}

// Collect implements prometheus.Collector.
func (c *taskCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	for _, s := range c.w.all() {
		total := s.meter.totals()
		show(ch, c.records, prometheus.CounterValue, s, float64(total.Read), "read")
		show(ch, c.records, prometheus.CounterValue, s, float64(total.Written), "written")
		used, size := s.prog.fill()
		show(ch, c.queue, prometheus.GaugeValue, s, float64(used))
		show(ch, c.capacity, prometheus.GaugeValue, s, float64(size))
		c.stages(s, ch)
		if !s.conn.IsSource() && c.w.Log() != nil {
			show(ch, c.behind, prometheus.GaugeValue, s, float64(sum(s.behind.count(ctx, c.w.Log(), s.prog))))
		}
	}
}

// Collect implements prometheus.Collector.
func (c *tableCollector) Collect(ch chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), collectTimeout)
	defer cancel()
	for _, s := range c.w.all() {
		if !s.conn.IsSource() {
			if c.w.Log() == nil {
				continue
			}
			for p, n := range s.behind.count(ctx, c.w.Log(), s.prog) {
				show(ch, c.behind, prometheus.GaugeValue, s, float64(n), p.topic, itoa(int(p.num)))
			}
			continue
		}
		_, _, tables := s.prog.snapshot()
		for name, t := range tables {
			show(ch, c.rows, prometheus.GaugeValue, s, float64(t.Rows), name)
			show(ch, c.ofRows, prometheus.GaugeValue, s, float64(t.Total), name)
		}
	}
}

// stages shows how a task spends its time.
func (c *taskCollector) stages(s *supervisor, ch chan<- prometheus.Metric) {
	times := s.meter.stages.count(time.Now())
	for i := range stage(numStages) {
		t := &s.meter.stages.timings[i]
		n := t.count.Load()
		if n == 0 && times[i] == 0 {
			continue
		}
		labels := []string{s.id.connector, itoa(s.id.task), stageNames[i]}
		ch <- prometheus.MustNewConstMetric(c.seconds, prometheus.CounterValue, time.Duration(times[i]).Seconds(), labels...)
		ch <- prometheus.MustNewConstMetric(c.batches, prometheus.CounterValue, float64(n), labels...)
		buckets, sum := map[float64]uint64{}, uint64(0)
		for b := range numBuckets - 1 {
			sum += uint64(t.buckets[b].Load())
			buckets[time.Duration(1<<(firstBucket+b)).Seconds()] = sum
		}
		sum += uint64(t.buckets[numBuckets-1].Load())
		ch <- prometheus.MustNewConstHistogram(c.durations, sum, time.Duration(t.nanos.Load()).Seconds(), buckets, labels...)
	}
}
