package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"

	"github.com/go-sql-driver/mysql"
	"golang.org/x/sync/errgroup"
)

const shopDB = "shop"

// shop is what writes to the source.
type shop struct {
	db      *sql.DB
	changes atomic.Int64 // rows changed
}

var shopTables = []string{"customers", "products", "orders", "order_lines"}

var shopDDL = []string{
	"CREATE DATABASE IF NOT EXISTS shop",
	"CREATE TABLE IF NOT EXISTS shop.customers (id INT AUTO_INCREMENT PRIMARY KEY, email VARCHAR(100) NOT NULL UNIQUE, name VARCHAR(80) NOT NULL, joined DATE NOT NULL, tags JSON)",
	"CREATE TABLE IF NOT EXISTS shop.products (sku CHAR(8) COLLATE utf8mb4_bin PRIMARY KEY, title VARCHAR(120) NOT NULL, price DECIMAL(10,2) NOT NULL, stock INT UNSIGNED NOT NULL)",
	"CREATE TABLE IF NOT EXISTS shop.orders (id BIGINT AUTO_INCREMENT PRIMARY KEY, customer INT NOT NULL, state ENUM('new','paid','sent','returned') NOT NULL DEFAULT 'new', placed DATETIME(3) NOT NULL, note VARCHAR(200), FOREIGN KEY (customer) REFERENCES shop.customers (id))",
	"CREATE TABLE IF NOT EXISTS shop.order_lines (order_id BIGINT NOT NULL, line INT NOT NULL, sku CHAR(8) COLLATE utf8mb4_bin NOT NULL, pieces SMALLINT NOT NULL, price DECIMAL(10,2) NOT NULL, PRIMARY KEY (order_id, line))",
}

// fill makes the shop's tables and, if they are empty, its first rows.
func (s *shop) fill(ctx context.Context, orders int) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer conn.Close()
	statements := append([]string(nil), shopDDL...)
	var n int
	for _, ddl := range statements {
		if _, err := conn.ExecContext(ctx, ddl); err != nil {
			return err
		}
	}
	if err := conn.QueryRowContext(ctx, "SELECT COUNT(*) FROM shop.customers").Scan(&n); err != nil || n > 0 {
		return err
	}
	fmt.Printf("Filling the shop with %d orders ...\n", orders)
	series := func(n int) string {
		return fmt.Sprintf("WITH RECURSIVE s (n) AS (SELECT 1 UNION ALL SELECT n+1 FROM s WHERE n < %d)", n)
	}
	for _, q := range []string{
		"SET SESSION cte_max_recursion_depth = 1000000000",
		"INSERT INTO shop.products " + series(500) + " SELECT LPAD(n, 8, 'P'), CONCAT('Product ', n), n * 1.25, 1000000 FROM s",
		"INSERT INTO shop.orders (customer, state, placed, note) SELECT 1, 'new', NOW(), NULL FROM DUAL WHERE FALSE",
		"INSERT INTO shop.customers (id, email, name, joined, tags) " + series(max(orders/10, 1)) + " SELECT n, CONCAT('c', n, '@example.com'), CONCAT('Customer ', n), '2024-01-01' + INTERVAL n % 700 DAY, JSON_ARRAY('new', n) FROM s",
		"INSERT INTO shop.orders (id, customer, state, placed, note) " + series(orders) + fmt.Sprintf(" SELECT n, 1 + n %% %d, 1 + n %% 4, '2024-01-01' + INTERVAL n SECOND, REPEAT('n', n %% 60) FROM s", max(orders/10, 1)),
		"INSERT INTO shop.order_lines SELECT id, 1, LPAD(1 + id % 500, 8, 'P'), 1 + id % 3, 9.99 FROM shop.orders",
	} {
		if _, err := conn.ExecContext(ctx, q); err != nil {
			return err
		}
	}
	return nil
}

// sell places, changes and cancels orders until ctx ends.
func (s *shop) sell(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	for i := range 3 {
		g.Go(func() error {
			r := rand.New(rand.NewPCG(uint64(i), rand.Uint64()))
			for ctx.Err() == nil {
				err := s.deal(ctx, r)
				var me *mysql.MySQLError
				if err != nil && ctx.Err() == nil && !(errors.As(err, &me) && (me.Number == 1213 || me.Number == 1205)) {
					return err
				}
			}
			return nil
		})
	}
	return g.Wait()
}

// deal is one transaction of the shop.
func (s *shop) deal(ctx context.Context, r *rand.Rand) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var rows int64
	exec := func(q string, args ...any) (res sql.Result, err error) {
		if res, err = tx.ExecContext(ctx, q, args...); err == nil {
			n, _ := res.RowsAffected()
			rows += n
		}
		return res, err
	}
	customer := 1 + r.IntN(1000)
	switch r.IntN(6) {
	case 0:
		_, err = exec("UPDATE shop.orders SET state = 1 + state % 4, note = ? WHERE customer = ? LIMIT 5", fmt.Sprint("changed ", r.IntN(1000)), customer)
	case 1:
		_, err = exec("DELETE FROM shop.order_lines WHERE order_id = ? AND line > 1", 1+r.IntN(100000))
	case 2:
		_, err = exec("UPDATE shop.customers SET email = CONCAT(?, id, '@example.org'), tags = JSON_ARRAY_APPEND(COALESCE(tags, '[]'), '$', ?) WHERE id = ? AND JSON_LENGTH(tags) < 20",
			fmt.Sprintf("x%x-", r.Uint32()), r.IntN(100), customer)
	default:
		err = s.order(exec, r, customer)
	}
	if err != nil {
		return err
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	s.changes.Add(rows)
	return nil
}

func (s *shop) order(exec func(string, ...any) (sql.Result, error), r *rand.Rand, customer int) error {
	res, err := exec("INSERT INTO shop.orders (customer, placed) VALUES (?, NOW(3))", customer)
	if err != nil {
		return err
	}
	id, err := res.LastInsertId()
	if err != nil {
		return err
	}
	for line := range 1 + r.IntN(4) {
		sku := fmt.Sprintf("%08d", 1+r.IntN(500))
		if _, err := exec("INSERT INTO shop.order_lines VALUES (?, ?, ?, ?, 5.00)", id, line, sku, 1+r.IntN(5)); err != nil {
			return err
		}
	}
	_, err = exec("UPDATE shop.products SET stock = stock - 1 WHERE sku = ?", fmt.Sprintf("%s%03d", "PPPPP", 100+r.IntN(400)))
	return err
}
