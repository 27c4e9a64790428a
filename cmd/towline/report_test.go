package main

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/connect/pebblelog"
	"github.com/towline/towline/connect/report"
)

// What a worker did last is in its last report, which is in the topic when it has
// ended.
func TestMetricsInTopic(t *testing.T) {
	t.Parallel()
	s := newSandbox(t)
	s.write("worker.json", `{"listeners": "http://127.0.0.1:0", "metric.reporters": "topic", "metric.reporters.topic.name": "numbers"}`)
	p := s.start("worker", "--config", "worker.json")
	s.awaitFile(p, filepath.Join("towline-data", addressFile))
	s.must(201, "POST", "/connectors", `{"name": "out", "config": {"connector.class": "file", "file": "out.jsonl", "topics": "t"}}`)
	s.says(exitOK, "0 RUNNING", "connector", "list")
	if r := p.stop(); r.code != exitOK {
		t.Fatalf("exit code %d:\n%s", r.code, r.err)
	}
	log, err := pebblelog.Open(pebblelog.Options{Dir: filepath.Join(s.dir, "towline-data")})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	_, end, err := log.Bounds(t.Context(), "numbers", 0)
	if err != nil {
		t.Fatal(err)
	}
	reader, err := log.OpenReader(t.Context(), []connect.Cursor{{Topic: "numbers", Offset: end - 1}})
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	var m connect.Messages
	defer m.Reset()
	if err := reader.Read(t.Context(), &m, 1<<20); err != nil {
		t.Fatal(err)
	}
	var last struct {
		Worker  string `json:"worker_id"`
		Metrics []report.Metric
	}
	if err := json.Unmarshal(m.List[0].Value, &last); err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(last.Metrics, func(m report.Metric) bool {
		return m.Name == "towline_task_starts_total" && m.Labels["connector"] == "out" && m.Value >= 1
	}) || last.Worker != string(m.List[0].Key) || last.Worker == "" {
		t.Errorf("the last report is %s: %s", m.List[0].Key, m.List[0].Value)
	}
}
