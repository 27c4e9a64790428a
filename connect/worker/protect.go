package worker

// Protect returns the offset from which on a partition's messages are still
// needed by a sink of this worker, for a log's retention. ok is false when no
// sink reads the topic.
func (w *Worker) Protect(topic string, num int32) (offset int64, ok bool) {
	for _, s := range w.all() {
		if s.conn.IsSource() || !s.wanter()(topic) {
			continue
		}
		m := s.prog.mark(partition{topic, num}) // none yet: all is needed
		if !ok || m.Offset < offset {
			offset, ok = m.Offset, true
		}
	}
	return offset, ok
}
