package main

import (
	"bufio"
	"fmt"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

// sample is one run of one side: what arrived, how long that took from the
// first arrival to the last, and what it cost.
type sample struct {
	rows int
	took time.Duration
	cpu  map[string]float64 // seconds by process: ours, source, target, peer
	peak int64              // most memory of ours, bytes; 0: not looked at
}

func (s sample) rate() float64 { return float64(s.rows) / s.took.Seconds() }

// series are samples of equal runs.
type series []sample

// rate is the median of the rates.
func (s series) rate() float64 { return median(s.rates()) }

// spread is how far equal runs lie apart, in percent of their median: the A/A
// control.
func (s series) spread() float64 { return spread(s.rates()) }

func (s series) rates() []float64 {
	var r []float64
	for _, x := range s {
		r = append(r, x.rate())
	}
	return r
}

// cpu is, by process, the median of the processor seconds for a million rows.
func (s series) cpu() map[string]float64 {
	all := map[string][]float64{}
	for _, x := range s {
		for who, v := range x.cpu {
			all[who] = append(all[who], v*1e6/float64(x.rows))
		}
	}
	m := map[string]float64{}
	for who, v := range all {
		m[who] = median(v)
	}
	return m
}

// peak is the most memory of all runs.
func (s series) peak() int64 {
	var most int64
	for _, x := range s {
		most = max(most, x.peak)
	}
	return most
}

func median(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(v))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}

func spread(v []float64) float64 {
	if len(v) < 2 {
		return 0
	}
	return 100 * (slices.Max(v) - slices.Min(v)) / median(v)
}

// percentile returns the value that p percent of v, which is sorted, do not
// exceed.
func percentile(v []float64, p float64) float64 {
	if len(v) == 0 {
		return 0
	}
	return v[min(len(v)-1, int(float64(len(v))*p/100))]
}

// processes are those whose work a run costs, by what they are.
type processes map[string]int

// cpu returns the processor seconds, user and system, that each has used.
func (p processes) cpu() (map[string]float64, error) {
	m := map[string]float64{}
	for who, pid := range p {
		s, err := cpuSeconds(pid)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", who, err)
		}
		m[who] = s
	}
	return m, nil
}

// since returns what was used after before was taken.
func (p processes) since(before map[string]float64) (map[string]float64, error) {
	now, err := p.cpu()
	if err != nil {
		return nil, err
	}
	for who := range maps.Keys(now) {
		now[who] -= before[who]
	}
	return now, nil
}

// ticks is what the kernel counts processor time in for user space, on every
// Linux there is.
const ticks = 100

// cpuSeconds returns utime and stime of a process, all threads of it.
func cpuSeconds(pid int) (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(b), ") ") // a name may hold spaces
	f := strings.Fields(rest)
	if !ok || len(f) < 13 {
		return 0, fmt.Errorf("/proc/%d/stat is not understood", pid)
	}
	user, err := strconv.ParseFloat(f[11], 64)
	if err != nil {
		return 0, err
	}
	system, err := strconv.ParseFloat(f[12], 64)
	return (user + system) / ticks, err
}

// memory returns a line of /proc/PID/status in bytes: VmHWM is the most that
// was ever resident, VmRSS what is now, RssAnon what of it is no file.
func memory(pid int, line string) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if v, ok := strings.CutPrefix(sc.Text(), line+":"); ok {
			var kb int64
			_, err := fmt.Sscan(v, &kb)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no %s of process %d", line, pid)
}
