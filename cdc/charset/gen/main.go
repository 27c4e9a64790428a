// Command gen reads the charsets and collations of a running MySQL server and writes what package charset embeds:
//
//	names.go              the list of charsets and collations
//	tables/<charset>.zst  the mapping of every charset that is not algorithmic
//	testdata/vectors.txt  byte strings with the server's own answer, for tests without a server
//
// It reads only: no table is made and no data is touched. The server is named by the environment variable
// TOWLINE_TEST_MYSQL, for example root@tcp(127.0.0.1:3306)/.
//
// A code belongs to a charset's table when the server accepts it as one well-formed character, gives it a code
// point, and gives the same bytes back for that code point. The way back is what makes the answer trustworthy: for a
// character without a code point the server silently answers with a question mark, which never comes back as the
// code that was asked for.
package main

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"

	_ "github.com/go-sql-driver/mysql"
)

func main() {
	out := flag.String("out", ".", "folder of package charset")
	flag.Parse()
	if err := run(context.Background(), os.Getenv("TOWLINE_TEST_MYSQL"), *out); err != nil {
		fmt.Fprintln(os.Stderr, "gen:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, dsn, out string) (err error) {
	if dsn == "" {
		return errors.New("TOWLINE_TEST_MYSQL is not set: set it to the server to read, e.g. root@tcp(127.0.0.1:3306)/")
	}
	db, err := sql.Open("mysql", dsn)
	if err != nil {
		return fmt.Errorf("open server: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	charsets, err := readCharsets(ctx, db)
	if err != nil {
		return err
	}
	collations, err := readCollations(ctx, db)
	if err != nil {
		return err
	}
	tables := make(map[string]table, len(charsets))
	for i := range charsets {
		c := &charsets[i]
		t, err := readTable(ctx, db, *c)
		if err != nil {
			return err
		}
		c.ascii = t.asciiIdentity()
		if c.form == "formTable" {
			tables[c.name] = t
			if err := writeTable(out, c.name, t); err != nil {
				return err
			}
		}
		fmt.Printf("%-9s %6d codes %4d ranges\n", c.name, len(t.codes), len(t.ranges))
	}
	if err := writeNames(out, charsets, collations); err != nil {
		return err
	}
	return writeVectors(ctx, db, out, charsets, tables)
}
