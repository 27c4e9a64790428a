package faults

import (
	"testing"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/oracle"
)

// A database that is included later is copied whole, with either form of
// metadata in the log.
func TestDatabaseIncludedLater(t *testing.T) {
	for name, flags := range map[string][]mysqltest.Option{"minimal": nil, "full": {mysqltest.Flags("--binlog-row-metadata=FULL")}} {
		t.Run(name, func(t *testing.T) {
			o := options{rows: 100, load: light(), sourceFlags: flags, noLedger: true}
			r := newRig(t, o)
			r.source.Exec(t, "CREATE DATABASE other; CREATE TABLE other.t (id INT PRIMARY KEY, v VARCHAR(20)); INSERT INTO other.t VALUES (1, 'before')")
			r.start()
			if err := r.proc.Wait(t.Context(), patience); err != nil {
				t.Fatal(err)
			}
			if err := r.proc.Stop(); err != nil {
				t.Fatal(err)
			}
			r.source.Exec(t, "INSERT INTO other.t VALUES (2, 'meanwhile')")
			o.source = map[string]string{"database.include.list": database + ",other"}
			r.connectors(o)
			r.start()
			r.source.Exec(t, "INSERT INTO other.t VALUES (3, 'after'); CREATE TABLE other.empty (id INT PRIMARY KEY)")
			if err := r.proc.Wait(t.Context(), patience); err != nil {
				t.Fatal(err)
			}
			diffs, err := oracle.Compare(t.Context(), r.source.DB(), "other", r.target.DB(), "other")
			if err != nil || len(diffs) > 0 {
				t.Fatalf("%v %v", diffs, err)
			}
		})
	}
}
