package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/towline/towline/e2e/mysqltest"
	"github.com/towline/towline/e2e/redistest"
	"github.com/towline/towline/e2e/rockettest"
)

// TestOffsetsElsewhere kills workers over RocketMQ whose positions are in MySQL
// or Redis, while rows are inserted: each row is in the topic once.
func TestOffsetsElsewhere(t *testing.T) {
	t.Parallel()
	srv := mysqltest.Shared(t)
	c := rockettest.Start(t, rockettest.Config{Java: []string{shortLease}})
	store := redistest.Start(t, redistest.Durable...)
	db := srv.CreateDB(t)
	ids := map[string]int{"mysql": 7001, "redis": 7002} // servers take each once
	for name, keys := range map[string]map[string]string{
		"mysql": {"offset.storage.jdbc.connection.url": fmt.Sprintf("jdbc:mysql://%s/%s", srv.Addr(), db), "offset.storage.jdbc.connection.user": srv.User, "offset.storage.jdbc.connection.password": srv.Password},
		"redis": {"offset.storage.redis.address": store.Addr},
	} {
		keys["connectClusterId"] = name
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rows := srv.CreateDB(t)
			srv.Exec(t, "CREATE TABLE "+rows+".a (id INT PRIMARY KEY AUTO_INCREMENT)")
			with := maps.Clone(keys)
			with["offset.storage"] = name
			w := startRocket(t, c, with)
			w.up()
			in := strings.Replace(source(srv, srv.User, srv.Password, rows), `"topic.prefix"`, fmt.Sprintf(`"database.server.id": %d, "topic.prefix"`, ids[name]), 1)
			w.must(201, "POST", "/connectors", in)
			w.must(201, "POST", "/connectors", `{"name": "out", "config": {"connector.class": "file", "file": "out.jsonl", "topics.regex": "t\\..*"}}`)
			w.must(200, "GET", "/v1/status?wait=3m", "")
			ctx, stop := context.WithCancel(t.Context())
			var inserting sync.WaitGroup
			inserting.Go(func() {
				for n := 0; ctx.Err() == nil; {
					if n > w.came()+1000 { // else there are the more rows the slower the machine is
						time.Sleep(10 * time.Millisecond)
						continue
					}
					srv.Exec(t, "INSERT INTO "+rows+".a () VALUES (), ()")
					n += 2
				}
			})
			for range 2 {
				had := w.came()
				w.await("rows", func() bool { return w.came() > had+100 })
				w.kill()
				w.launch()
				w.up()
			}
			stop()
			inserting.Wait()
			w.must(200, "GET", "/v1/status?wait=3m", "")
			var want int
			if err := srv.DB().QueryRow("SELECT COUNT(*) FROM " + rows + ".a").Scan(&want); err != nil {
				t.Fatal(err)
			}
			ids := w.ids()
			for i, id := range ids {
				if id != i+1 {
					t.Fatalf("row %d of %d is number %d", id, want, i+1)
				}
			}
			if len(ids) != want {
				t.Errorf("%d rows came of %d", len(ids), want)
			}
			w.proc.stop()

			home := startRocket(t, c, map[string]string{"connectClusterId": name})
			if r := home.proc.wait(); r.code == exitOK || !strings.Contains(home.log(), "the positions of this log are in ") {
				t.Errorf("without its store: exit code %d\n%s", r.code, home.log())
			}
		})
	}
}

// came returns how many rows have come.
func (w *rocketWorker) came() int {
	b, _ := os.ReadFile(filepath.Join(w.dir, "out.jsonl"))
	return bytes.Count(b, []byte("\n"))
}

// ids returns the rows that have come, in their order.
func (w *rocketWorker) ids() []int {
	b, err := os.ReadFile(filepath.Join(w.dir, "out.jsonl"))
	if err != nil && !os.IsNotExist(err) {
		w.t.Fatal(err)
	}
	var ids []int
	lines := strings.Split(string(b), "\n")
	for _, line := range lines[:len(lines)-1] {
		var r struct {
			Value struct{ After *struct{ ID int } }
		}
		if err := json.Unmarshal([]byte(line), &r); err != nil {
			w.t.Fatalf("%v in %s", err, line)
		}
		if r.Value.After != nil {
			ids = append(ids, r.Value.After.ID)
		}
	}
	return ids
}

// TestOffsetStorageOptions: what is wrong with them is said.
func TestOffsetStorageOptions(t *testing.T) {
	s := newSandbox(t)
	for _, c := range []struct{ keys, want string }{
		{`"offset.storage": "redis"`, "topics in data.dir have positions beside them"},
		{`"namesrvAddr": "a:1", "offset.storage": "redis"`, "offset.storage.redis.address: is required"},
		{`"namesrvAddr": "a:1", "offset.storage": "mysql"`, "offset.storage.jdbc.connection.url: is required"},
		{`"namesrvAddr": "a:1", "offset.storage": "mysql", "offset.storage.jdbc.connection.url": "jdbc:mysql://a:1"`, "names no database"},
		{`"namesrvAddr": "a:1", "offset.storage": "mysql", "offset.storage.redis.key": "x"`, "offset.storage.redis.key: has no use with offset.storage=mysql"},
		{`"namesrvAddr": "a:1", "offset.storage.redis.address": "b:1"`, "offset.storage.redis.address: has no use with offset.storage=topic"},
		{`"namesrvAddr": "a:1", "offset.storage": "redis", "offset.storage.redis.address": "b"`, `"b" is not host:port`},
		{`"namesrvAddr": "a:1", "offset.storage": "redis", "offset.storage.redis.address": "b:1", "offset.storage.redis.ssl.truststore.path": "x"`, "has no use without offset.storage.redis.ssl.enabled=true"},
		{`"namesrvAddr": "a:1", "offset.storage": "redis", "offset.storage.redis.address": "b:1", "offset.storage.redis.ssl.enabled": true, "offset.storage.redis.ssl.truststore.path": "nowhere.pem"`, "offset.storage.redis.ssl.truststore.path: open nowhere.pem"},
	} {
		path := s.write("worker.json", "{"+c.keys+"}")
		if _, err := readWorker(filepath.Join(s.dir, path)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.keys, err, c.want)
		}
	}
}
