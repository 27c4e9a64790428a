package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/towline/towline/connect/cluster"
)

// clusterCollector shows the numbers of a worker as a member of its cluster.
type clusterCollector struct{ counts func() cluster.Counts }

// clusterMetric is one of them.
type clusterMetric struct {
	desc *prometheus.Desc
	kind prometheus.ValueType
	of   func(c *cluster.Counts) float64
}

func clusterDesc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("towline_cluster_"+name, help, nil, nil)
}

var clusterMetrics = []clusterMetric{
	{clusterDesc("members", "Workers of the cluster that are alive, as seen from this one."), prometheus.GaugeValue,
		func(c *cluster.Counts) float64 { return float64(c.Members) }},
	{clusterDesc("claims", "Tasks that this worker has the claim of."), prometheus.GaugeValue,
		func(c *cluster.Counts) float64 { return float64(c.Claims) }},
	{clusterDesc("lease_seconds", "Seconds until this worker ends its tasks, if it cannot renew its lease."), prometheus.GaugeValue,
		func(c *cluster.Counts) float64 { return c.Lease.Seconds() }},
	{clusterDesc("lease_renewals_total", "Renewals of this worker's lease."), prometheus.CounterValue,
		func(c *cluster.Counts) float64 { return float64(c.Renewals) }},
	{clusterDesc("lease_lapses_total", "Times that this worker could not renew its lease and ended its tasks."), prometheus.CounterValue,
		func(c *cluster.Counts) float64 { return float64(c.Lapses) }},
	{clusterDesc("expulsions_total", "Times that the other workers took this one for dead."), prometheus.CounterValue,
		func(c *cluster.Counts) float64 { return float64(c.Expulsions) }},
	{clusterDesc("rebalances_total", "Times that who is to run which task has changed, as seen from this worker."), prometheus.CounterValue,
		func(c *cluster.Counts) float64 { return float64(c.Rebalances) }},
	{clusterDesc("task_moves_total", "Tasks that came to this worker from another one."), prometheus.CounterValue,
		func(c *cluster.Counts) float64 { return float64(c.Moves) }},
}

// Describe implements prometheus.Collector.
func (clusterCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, m := range clusterMetrics {
		ch <- m.desc
	}
}

// Collect implements prometheus.Collector.
func (c clusterCollector) Collect(ch chan<- prometheus.Metric) {
	now := c.counts()
	for _, m := range clusterMetrics {
		ch <- prometheus.MustNewConstMetric(m.desc, m.kind, m.of(&now))
	}
}
