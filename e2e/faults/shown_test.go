package faults

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/process"
)

// transactions is how many there are at least, however slow they are.
const transactions = 5

// line is one of the file sink's.
type line struct {
	Topic string
	Key   map[string]any
	Value struct {
		Op          string
		After       map[string]any
		Before      map[string]any
		Transaction *struct {
			ID    string `json:"id"`
			Total int    `json:"total_order"`
			Order int    `json:"data_collection_order"`
		}
		Status string `json:"status"`
		ID     string `json:"id"`
		Count  int    `json:"event_count"`
		DDL    string `json:"ddl"`
	}
}

// What records show, and what is told beside them, is right after the program
// was killed at any moment: nothing shows that is masked or left out, each
// transaction begins and ends once, and holds the changes that it says.
func TestShownWhenKilled(t *testing.T) {
	s := mysqltest.Start(t)
	s.Exec(t, "CREATE DATABASE shop; CREATE TABLE shop.people (id INT PRIMARY KEY AUTO_INCREMENT, mail VARCHAR(80), pin CHAR(9), owner INT); CREATE TABLE shop.log (id INT PRIMARY KEY AUTO_INCREMENT, pin TEXT); INSERT INTO shop.people (mail, pin, owner) VALUES ('first@secret', 'secret', 1)")
	dir := t.TempDir()
	t.Setenv("TOWLINE_SALT", "secretsalt")
	src, err := process.Connector(dir, "src", map[string]string{"connector.class": "mysql", "database.hostname": s.Host, "database.port": fmt.Sprint(s.Port),
		"database.user": s.User, "database.password": s.Password, "database.include.list": "shop", "topic.prefix": "s", "column.exclude.list": `.*\.pin`, "column.mask.hash.v2.SHA-256.with.salt.${env:TOWLINE_SALT}": `shop\.people\.mail`,
		"message.key.columns": "shop.people:owner,id", "provide.transaction.metadata": "true", "include.schema.changes": "true", "heartbeat.interval.ms": "1000"})
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "out.jsonl")
	sink, err := process.Connector(dir, "out", map[string]string{"connector.class": "file", "file": out, "topics.regex": ".*"})
	if err != nil {
		t.Fatal(err)
	}
	p := &process.Process{Bin: bin, Data: filepath.Join(dir, "data"), Log: filepath.Join(dir, "log"), Args: []string{src, sink}}
	begin := func() {
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		if err := p.AwaitUp(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.Wait(t.Context(), patience); err != nil {
			t.Fatalf("%v\n%s", err, p.LogTail(20))
		}
	}
	defer p.Kill()
	begin() // from here on each transaction is told of
	p.Kill()
	stop := make(chan struct{})
	done := make(chan int)
	go func() {
		n := 0
		for ; ; n++ {
			if n >= transactions {
				select {
				case <-stop:
					done <- n
					return
				default:
				}
			}
			q := "BEGIN; INSERT INTO shop.people (mail, pin, owner) SELECT CONCAT('secret', id), 'secret', id % 7 FROM shop.people LIMIT 12000; UPDATE shop.people SET owner = owner + 1 ORDER BY id DESC LIMIT 9000; INSERT INTO shop.log (pin) VALUES ('secret'); COMMIT"
			if n%20 == 19 {
				q = "DELETE FROM shop.people WHERE id > 1; INSERT INTO shop.log (pin) VALUES (NULL)"
			}
			if _, err := s.DB().Exec(q); err != nil {
				t.Error(err)
			}
		}
	}()
	for range kills(t, 8) {
		if err := p.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(50*time.Millisecond + rand.N(900*time.Millisecond))
		if err, ended := p.Ended(0); ended {
			t.Fatalf("the program ended by itself: %v\n%s", err, p.LogTail(20))
		}
		p.Kill()
	}
	close(stop)
	n := <-done
	s.Exec(t, "ALTER TABLE shop.log ADD COLUMN note INT; INSERT INTO shop.log (note) VALUES (1)")
	begin()
	for _, path := range []string{"/v1/status", "/metrics"} {
		if body, err := p.Get(t.Context(), path); err != nil || strings.Contains(string(body), "secretsalt") {
			t.Errorf("%s shows the salt: %v", path, err)
		}
	}
	if log, err := os.ReadFile(p.Log); err != nil || strings.Contains(string(log), "secretsalt") {
		t.Errorf("the log shows the salt: %v", err)
	}
	if err := p.Stop(); err != nil { // else its last line may be half written
		t.Error(err)
	}
	t.Logf("%d transactions", n)
	checkShown(t, out)
}

// checkShown reads the file sink's file.
func checkShown(t *testing.T, path string) {
	t.Helper()
	f, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	begins, ends, counts := map[string]int{}, map[string]int{}, map[string]int{}
	orders := map[string]map[int]bool{}
	heartbeats, statements, reads := 0, 0, 0
	sc := bufio.NewScanner(f)
	sc.Buffer(nil, 1<<20)
	for sc.Scan() {
		if strings.Contains(sc.Text(), "secret") || strings.Contains(sc.Text(), `"pin"`) {
			t.Fatalf("a line shows what is hidden: %s", sc.Text())
		}
		var l line
		if err := json.Unmarshal(sc.Bytes(), &l); err != nil {
			t.Fatalf("%s: %v", sc.Text(), err)
		}
		v := &l.Value
		switch {
		case l.Topic == "__debezium-heartbeat.s":
			heartbeats++
		case l.Topic == "s":
			statements++
		case v.Status == "BEGIN":
			begins[v.ID]++
		case v.Status == "END":
			ends[v.ID]++
			counts[v.ID] = v.Count
		case v.Op == "r":
			reads++
		case v.Transaction != nil:
			id, n := v.Transaction.ID, v.Transaction.Total
			if orders[id] == nil {
				orders[id] = map[int]bool{}
			}
			if orders[id][n] {
				t.Fatalf("change %d of transaction %s is there twice", n, id)
			}
			orders[id][n] = true
		default:
			t.Fatalf("a change has no place in its transaction: %s", sc.Text())
		}
		if l.Topic == "s.shop.people" && (l.Key["owner"] == nil || l.Key["id"] == nil || len(l.Key) != 2) {
			t.Fatalf("the key is %v", l.Key)
		}
	}
	if err := sc.Err(); err != nil {
		t.Fatal(err)
	}
	for id, n := range begins {
		if n != 1 || ends[id] != 1 || counts[id] != len(orders[id]) {
			t.Errorf("transaction %s has %d begins, %d ends, and %d changes where it says %d", id, n, ends[id], len(orders[id]), counts[id])
		}
	}
	if len(begins) < transactions || len(ends) != len(begins) || len(orders) != len(begins) || heartbeats == 0 || statements != 1 || reads == 0 {
		t.Errorf("%d begins, %d ends, %d transactions, %d heartbeats, %d statements, %d reads", len(begins), len(ends), len(orders), heartbeats, statements, reads)
	}
}
