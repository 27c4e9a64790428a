package worker

import (
	"fmt"
	"math"

	"github.com/towline/towline/connect/report"
)

// Values returns the metrics of all tasks, without those of single tables, as
// plain numbers.
func (w *Worker) Values() ([]report.Metric, error) {
	families, err := w.TaskMetrics().Gather()
	if err != nil {
		return nil, fmt.Errorf("gather metrics: %w", err)
	}
	list := []report.Metric{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() // it is one of the two
			if math.IsNaN(value) || math.IsInf(value, 0) {
				continue // JSON has no word for it
			}
			labels := make(map[string]string, len(m.GetLabel()))
			for _, l := range m.GetLabel() {
				labels[l.GetName()] = l.GetValue()
			}
			list = append(list, report.Metric{Name: f.GetName(), Labels: labels, Value: value})
		}
	}
	return list, nil
}
