package worker

import (
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect"
)

// Metrics are the numbers of all tasks of a worker, in Prometheus form. Safe
// for concurrent use.
type Metrics struct {
	reg     *prometheus.Registry
	brief   *prometheus.Registry   // the same without those of single tables
	records *prometheus.CounterVec // connector task table what
	bytes   *prometheus.CounterVec // connector task what
	dead    *prometheus.CounterVec // connector task
	dropped *prometheus.CounterVec // connector task reason
	starts  *prometheus.CounterVec // connector task
	lag     *prometheus.GaugeVec   // connector task
	tables  *prometheus.GaugeVec   // connector task state

	mu     sync.Mutex
	gauges map[string]*prometheus.GaugeVec

	settling sync.Mutex
	meters   map[*meter]bool // of the tasks that run
}

// NewMetrics returns Metrics that reg shows.
func NewMetrics(reg *prometheus.Registry) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		c := prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "towline", Name: name, Help: help},
			append([]string{"connector", "task"}, labels...))
		reg.MustRegister(c)
		return c
	}
	m := &Metrics{
		reg:   reg,
		brief: prometheus.NewRegistry(),
		records: prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "towline", Name: "records_total", Help: "Records read and written, by table."},
			[]string{"connector", "task", "table", "what"}),
		bytes:   counter("bytes_total", "Bytes read from the source or the log, and written to the log.", "what"),
		dead:    counter("dead_letters_total", "Records written to the dead-letter topic."),
		dropped: counter("dropped_records_total", "Records that a transform dropped.", "reason"),
		starts:  counter("task_starts_total", "Times a task was started."),
		gauges:  map[string]*prometheus.GaugeVec{},
		meters:  map[*meter]bool{},
	}
	m.lag = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "towline", Name: "lag_seconds",
		Help: "Seconds between the commit at the source of the last record handled and its handling here."}, []string{"connector", "task"})
	m.tables = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "towline", Name: "tables",
		Help: "Tables of a source in each state: waiting, copying, following, stopped; of a sink, those that it has stopped once."}, []string{"connector", "task", "state"})
	reg.MustRegister(recordCollector{m}, m.lag, m.tables)
	m.brief.MustRegister(m.bytes, m.dead, m.dropped, m.starts, m.lag, m.tables)
	return m
}

// tableState moves a table from one state to another.
func (m *Metrics) tableState(id taskID, before, now connect.TableState) {
	if before != "" {
		m.tables.WithLabelValues(id.connector, itoa(id.task), string(before)).Dec()
	}
	m.tables.WithLabelValues(id.connector, itoa(id.task), string(now)).Inc()
}

// forget drops numbers of a task that has left.
func (m *Metrics) forget(id taskID, what forgetting) {
	if what == forgetNothing {
		return
	}
	of := prometheus.Labels{"connector": id.connector, "task": itoa(id.task)}
	m.tables.DeletePartialMatch(of)
	if what == forgetTables {
		return
	}
	for _, c := range []*prometheus.CounterVec{m.records, m.bytes, m.dead, m.dropped, m.starts} {
		c.DeletePartialMatch(of)
	}
	m.lag.DeletePartialMatch(of)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, g := range m.gauges {
		if g != nil {
			g.DeletePartialMatch(of)
		}
	}
}

// gauge sets a gauge that a plug-in has made up. labels are pairs; a name has
// the same label names each time.
func (m *Metrics) gauge(id taskID, name string, value float64, labels ...string) {
	names, values := []string{"connector", "task"}, []string{id.connector, itoa(id.task)}
	for i := 0; i+1 < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	m.mu.Lock()
	g, ok := m.gauges[name]
	if !ok {
		g = prometheus.NewGaugeVec(prometheus.GaugeOpts{Namespace: "towline", Name: strings.ReplaceAll(name, ".", "_"),
			Help: "Reported by a connector."}, names)
		if m.reg.Register(g) != nil {
			g = nil // the name is taken by another metric: leave that alone
		} else if !slices.Contains(names, "table") {
			m.brief.MustRegister(g)
		}
		m.gauges[name] = g
	}
	m.mu.Unlock()
	if g != nil {
		if c, err := g.GetMetricWithLabelValues(values...); err == nil {
			c.Set(value)
		}
	}
}

// meter counts for one task.
type meter struct {
	m      *Metrics
	id     taskID
	task   string
	stages *stages

	mu        sync.Mutex
	tables    tableCounts
	lagGauge  prometheus.Gauge
	bytesRead prometheus.Counter
	total     totals
}

// totals are the records that one task has handled in this process.
type totals struct {
	Read    int64 `json:"read"`
	Written int64 `json:"written"`
	Failed  int64 `json:"failed"`
	Dead    int64 `json:"dead_letters"`
}

func (t *totals) add(o totals) {
	t.Read += o.Read
	t.Written += o.Written
	t.Failed += o.Failed
	t.Dead += o.Dead
}

func newMeter(m *Metrics, id taskID) *meter {
	return &meter{m: m, id: id, task: itoa(id.task), stages: newStages(), tables: tableCounts{}}
}

func (t *meter) read(b *connect.Batch) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total.Read += int64(len(b.Records))
	t.count(b.Records, countRead)
	if t.bytesRead == nil {
		t.bytesRead = t.m.bytes.WithLabelValues(t.id.connector, t.task, "read")
	}
	t.bytesRead.Add(float64(b.Size()))
}

func (t *meter) written(b *connect.Batch, bytes int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total.Written += int64(len(b.Records))
	t.count(b.Records, countWritten)
	t.m.bytes.WithLabelValues(t.id.connector, t.task, "written").Add(float64(bytes))
	t.lag(b)
}

// wrote counts what a sink did with b.
func (t *meter) wrote(b *connect.Batch, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	failed := failures(err)
	if failed < 0 { // nothing is known: it comes again
		return
	}
	t.total.Failed += int64(failed)
	t.total.Written += int64(len(b.Records) - failed)
	t.count(b.Records, countWritten)
	t.lag(b)
}

func (t *meter) dead(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.total.Dead += int64(n)
	t.m.dead.WithLabelValues(t.id.connector, t.task).Add(float64(n))
}

func (t *meter) drop(reason string, n int) {
	t.m.dropped.WithLabelValues(t.id.connector, t.task, reason).Add(float64(n))
}

func (t *meter) lag(b *connect.Batch) {
	n := len(b.Records)
	if n == 0 || b.Records[n-1].Time <= 0 {
		return
	}
	if t.lagGauge == nil {
		t.lagGauge = t.m.lag.WithLabelValues(t.id.connector, t.task)
	}
	t.lagGauge.Set(time.Since(time.UnixMicro(b.Records[n-1].Time)).Seconds())
}

func (t *meter) totals() totals {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.total
}
