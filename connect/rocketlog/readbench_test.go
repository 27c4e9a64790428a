package rocketlog

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/towline/towline/connect"
	"github.com/towline/towline/e2e/rockettest"
)

// BenchmarkRead reads 100,000 changes, of one message each, from topics of one and
// of eight queues, from brokers that give 32 messages at a time, as they do by
// default, and 1,024. Beside the time of an operation are messages a second, and
// for a million messages the processor seconds of this process and of the broker.
func BenchmarkRead(b *testing.B) {
	const total = 100_000
	for _, most := range []int{32, 1024} {
		c := rockettest.Start(b, rockettest.Config{Fast: true, Settings: []string{
			fmt.Sprint("maxTransferCountOnMessageInMemory=", most), fmt.Sprint("maxTransferBytesOnMessageInMemory=", max(256<<10, most<<10))}})
		for _, queues := range []int32{1, 8} {
			b.Run(fmt.Sprintf("most=%d/queues=%d", most, queues), func(b *testing.B) {
				l := openLog(b, options(c))
				check(b, l.CreateTopic(b.Context(), "t", queues))
				msgs := changes(4000)
				var from []connect.Cursor
				for p := range queues {
					from = append(from, connect.Cursor{Topic: "t", Partition: p})
				}
				for i := range msgs {
					msgs[i].Partition %= queues
				}
				for range total / len(msgs) {
					check(b, l.Append(b.Context(), msgs, nil))
				}
				readAll(b, l, from, total) // compilers of the broker
				ours, theirs := processorSeconds(b, "self"), processorSeconds(b, strconv.Itoa(c.Brokers[0].PID()))
				b.ReportAllocs()
				b.ResetTimer()
				for range b.N {
					readAll(b, l, from, total)
				}
				b.StopTimer()
				million := float64(b.N) * total / 1e6
				b.ReportMetric(float64(b.N)*total/b.Elapsed().Seconds(), "msgs/s")
				b.ReportMetric((processorSeconds(b, "self")-ours)/million, "cpu-s/M")
				b.ReportMetric((processorSeconds(b, strconv.Itoa(c.Brokers[0].PID()))-theirs)/million, "broker-cpu-s/M")
			})
		}
	}
}

// readAll reads so many messages.
func readAll(b *testing.B, l *Log, from []connect.Cursor, total int) {
	r, err := l.OpenReader(b.Context(), from)
	check(b, err)
	var m connect.Messages
	defer m.Reset()
	for n := 0; n < total; n += len(m.List) {
		m.Reset()
		check(b, r.Read(b.Context(), &m, 1<<20))
	}
	check(b, r.Close())
}

// processorSeconds returns what a process has used so far.
func processorSeconds(b *testing.B, pid string) float64 {
	if pid == "self" {
		var u syscall.Rusage
		check(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
		return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
	}
	stat, err := os.ReadFile("/proc/" + pid + "/stat")
	check(b, err)
	f := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	user, err1 := strconv.ParseInt(f[11], 10, 64)
	system, err2 := strconv.ParseInt(f[12], 10, 64)
	check(b, err1)
	check(b, err2)
	return float64(user+system) / 100
}
