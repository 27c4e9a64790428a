package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// decode runs the decoder's own benchmark: the same recorded bytes through
// our decoder and through go-mysql's.
func (b *bench) decode(ctx context.Context) error {
	cmd := exec.CommandContext(ctx, "go", "test", "-run", "^$", "-bench", "^BenchmarkDecode$", "-benchtime", "300ms", "-count", strconv.Itoa(b.runs+2), "-cpu", "1", "./cdc/binlog")
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("go test: %w\n%s", err, out)
	}
	rates := map[string][]float64{}
	for line := range strings.Lines(string(out)) {
		f := strings.Fields(line)
		for i := 1; i < len(f); i++ {
			if f[i] != "rows/s" || !strings.HasPrefix(f[0], "BenchmarkDecode/") {
				continue
			}
			v, err := strconv.ParseFloat(f[i-1], 64)
			if err != nil {
				return err
			}
			name := strings.TrimPrefix(f[0], "BenchmarkDecode/")
			rates[name] = append(rates[name], v)
		}
	}
	marks := map[string]*mark{"narrow": atLeastTimes(4), "sb": atLeastTimes(8), "wide": atLeastTimes(8)}
	for _, table := range []string{"narrow", "sb", "wide"} {
		ours, theirs := rates[table+"/towline"], rates[table+"/go-mysql"]
		if len(ours) == 0 || len(theirs) == 0 {
			return fmt.Errorf("the benchmark gives no figures for %s:\n%s", table, out)
		}
		b.report(line{name: "decode_" + table, value: median(ours), unit: "rows/s", ratio: median(ours) / median(theirs), against: "go-mysql decode, same bytes",
			mark: marks[table], ours: spread(ours), peers: spread(theirs), cpu: map[string]float64{"ours": 1e6 / median(ours), "peer": 1e6 / median(theirs)}})
	}
	return nil
}
