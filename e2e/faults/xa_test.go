package faults

import (
	"testing"
)

// XA transactions that are open while the program is killed, and one that was
// prepared before it ever ran.
func TestXA(t *testing.T) {
	r := newRig(t, options{rows: 100, load: light(), noLedger: true})
	xa := func(q string) {
		run := session(t, r.source.DB())
		run(q)
	}
	xa("CREATE TABLE x (id INT PRIMARY KEY, v INT); INSERT INTO x VALUES (1, 1), (2, 2), (3, 3); CREATE TABLE y (id INT PRIMARY KEY); INSERT INTO y VALUES (1), (2)")
	xa("XA START 'before'; DELETE FROM y WHERE id = 1; INSERT INTO y VALUES (3); XA END 'before'; XA PREPARE 'before'")
	r.start()
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	xa("XA START 'a'; DELETE FROM x WHERE id = 1; UPDATE x SET v = 20 WHERE id = 2; XA END 'a'; XA PREPARE 'a'")
	xa("XA START 'b'; DELETE FROM x WHERE id = 3; XA END 'b'; XA PREPARE 'b'")
	xa("INSERT INTO x VALUES (4, 4)")
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	r.equal()
	r.proc.Kill()
	xa("XA ROLLBACK 'b'")
	r.start()
	xa("XA COMMIT 'a'")
	if err := r.proc.Wait(t.Context(), patience); err != nil {
		t.Fatal(err)
	}
	r.equal()
	xa("XA COMMIT 'before'; UPDATE x SET v = v + 1")
	r.settle()
}
