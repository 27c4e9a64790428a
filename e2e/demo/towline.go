package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/towline/towline/e2e/process"
)

// dataDir is the folder of Towline's data.
func dataDir(dir string) string { return filepath.Join(dir, "towline-data") }

// startTowline starts the program under show, in a process of its own.
func startTowline(ctx context.Context, dir, bin string, s *servers) (*process.Process, error) {
	host, port, _ := strings.Cut(s.sourceDSN.Addr, ":")
	source, err1 := process.Connector(dir, "source", map[string]string{
		"connector.class": "mysql", "database.hostname": host, "database.port": port, "database.user": s.sourceDSN.User,
		"database.password": "${env:DEMO_SOURCE_PASSWORD}", "database.include.list": shopDB, "topic.prefix": "demo",
	})
	sink, err2 := process.Connector(dir, "sink", map[string]string{
		"connector.class": "jdbc", "topics.regex": `demo\..*`, "connection.url": "jdbc:mysql://" + s.targetDSN.Addr + "/",
		"connection.user": s.targetDSN.User, "connection.password": "${env:DEMO_TARGET_PASSWORD}",
		"table.name.format": "${database}.${table}",
	})
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	p := &process.Process{Bin: bin, Data: dataDir(dir), Log: filepath.Join(dir, "towline.log"), Args: []string{source, sink},
		Env: []string{"DEMO_SOURCE_PASSWORD=" + s.sourceDSN.Passwd, "DEMO_TARGET_PASSWORD=" + s.targetDSN.Passwd}}
	fmt.Printf("Starting: %s run --data-dir %s %s %s   (its log: %s)\n", bin, p.Data, source, sink, p.Log)
	if err := p.Start(); err != nil {
		return nil, err
	}
	if err := p.AwaitUp(ctx); err != nil {
		return nil, errors.Join(err, p.Stop())
	}
	return p, nil
}
