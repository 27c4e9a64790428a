package connecttest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/towline/towline/connect"
)

// ConverterCaps tells TestConverter what a converter promises beyond the
// contract.
type ConverterCaps struct {
	// Decodes: Decode gives back what was encoded. Otherwise only Encode is
	// tested.
	Decodes bool
	// Tune sets up the Gen, where not all types can be had. nil: as it is.
	Tune func(g *Gen)
	// Forget removes from what was encoded the things that the converter does
	// not carry (origins, say), in place, before it is compared with what was
	// decoded; and from what was decoded. nil: it carries everything.
	Forget func(r *connect.Record)
}

// TestConverter checks that the converters which make returns keep the
// contract of connect.Converter.
func TestConverter(t *testing.T, make func() connect.Converter, caps ConverterCaps) {
	for _, c := range []struct {
		name string
		run  func(t *testing.T, c *converterCase)
	}{
		{"Empty", testConvertEmpty},
		{"Messages", testConvertMessages},
		{"RoundTrip", testConvertRoundTrip},
		{"DecodeAppends", testConvertAppends},
		{"Garbage", testConvertGarbage},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := NewGen(Seed(t))
			g.Headers = true
			g.Partitions = 4
			if caps.Tune != nil {
				caps.Tune(g)
			}
			c.run(t, &converterCase{ConverterCaps: caps, make: make, g: g})
		})
	}
}

type converterCase struct {
	ConverterCaps
	make func() connect.Converter
	g    *Gen
}

func testConvertEmpty(t *testing.T, c *converterCase) {
	var m connect.Messages
	conv := c.make()
	must(t, conv.Encode(&m, new(connect.Batch)))
	if len(m.List) != 0 {
		t.Fatalf("an empty batch gives %d messages", len(m.List))
	}
	var b connect.Batch
	must(t, conv.Decode(&b, nil))
	if len(b.Records) != 0 {
		t.Fatalf("no messages give %d records", len(b.Records))
	}
}

// testConvertMessages checks the outsides: messages are of the records'
// partitions, count them, have the time of the last, are appended to what is
// there, and come out the same from a converter that has worked before.
func testConvertMessages(t *testing.T, c *converterCase) {
	used := c.make()
	tables := c.g.Tables(4)
	for range 10 {
		var b connect.Batch
		c.g.Fill(&b, tables, 100)
		var m, again connect.Messages
		*m.Add() = connect.Message{Topic: "mine"}
		must(t, c.make().Encode(&m, &b))
		must(t, used.Encode(&again, &b))
		if m.List[0].Topic != "mine" {
			t.Fatal("Encode changed a message that was there")
		}
		if d := diffLists(again.List, m.List[1:]); d != "" {
			t.Fatalf("a used converter encodes otherwise than a new one: %s", d)
		}
		c.checkOutsides(t, m.List[1:], &b)
	}
}

func diffLists(got, want []connect.Message) string {
	if len(got) != len(want) {
		return fmt.Sprintf("%d messages, want %d", len(got), len(want))
	}
	for i := range got {
		if d := DiffMessages(&got[i], &want[i]); d != "" {
			return fmt.Sprintf("message %d: %s", i, d)
		}
	}
	return ""
}

type place struct {
	topic     string
	partition int32
}

// split returns the records of each partition, in order.
func split(b *connect.Batch) map[place][]connect.Record {
	m := map[place][]connect.Record{}
	for _, r := range b.Records {
		at := place{r.Topic, r.Partition}
		m[at] = append(m[at], r)
	}
	return m
}

func (c *converterCase) checkOutsides(t *testing.T, list []connect.Message, b *connect.Batch) {
	t.Helper()
	records := split(b)
	seen := map[place]int{}
	for i := range list {
		m := &list[i]
		at := place{m.Topic, m.Partition}
		of := records[at]
		if of == nil {
			t.Fatalf("message %d is of %s/%d, where no record goes", i, m.Topic, m.Partition)
		}
		seen[at] += int(m.Count)
		if m.Count < 0 || seen[at] > len(of) {
			t.Fatalf("messages of %s/%d count more than its %d records", m.Topic, m.Partition, len(of))
		}
		if m.Count > 0 && m.Time != of[seen[at]-1].Time && c.Decodes {
			t.Fatalf("message %d has time %d, its last record %d", i, m.Time, of[seen[at]-1].Time)
		}
	}
	for at, of := range records {
		if c.Decodes && seen[at] != len(of) {
			t.Fatalf("messages of %v count %d records of %d", at, seen[at], len(of))
		}
	}
}

// testConvertRoundTrip encodes batches whose memory is scribbled over before
// they are decoded, with the same two converters and batches all the time.
func testConvertRoundTrip(t *testing.T, c *converterCase) {
	if !c.Decodes {
		t.Skip("does not decode")
	}
	enc, dec := c.make(), c.make()
	tables := c.g.Tables(6)
	var work, got connect.Batch
	var m connect.Messages
	for round := range 40 {
		var want connect.Batch
		c.g.Fill(&want, tables, 1+c.g.IntN(300))
		work.Reset()
		m.Reset()
		got.Reset()
		CopyBatch(&work, &want)
		must(t, enc.Encode(&m, &work))
		Scribble(&work) // messages own their memory (invariant 7)
		must(t, dec.Decode(&got, m.List))
		c.compare(t, round, &got, &want)
		if got.Size() == 0 {
			t.Fatal("Decode does not tell the batch what it holds (Grow)")
		}
	}
}

// compare compares partition by partition.
func (c *converterCase) compare(t *testing.T, round int, got, want *connect.Batch) {
	t.Helper()
	have, wanted := split(got), split(want)
	if len(have) != len(wanted) {
		t.Fatalf("round %d: %d partitions, want %d", round, len(have), len(wanted))
	}
	for at, of := range wanted {
		g, w := connect.Batch{Records: have[at]}, connect.Batch{Records: of}
		if c.Forget != nil {
			for _, b := range []*connect.Batch{&g, &w} {
				for i := range b.Records {
					c.Forget(&b.Records[i])
				}
			}
		}
		if d := EqualBatches(&g, &w); d != "" {
			t.Fatalf("round %d, %v: %s", round, at, d)
		}
	}
}

// testConvertAppends: Decode adds to what its batch holds.
func testConvertAppends(t *testing.T, c *converterCase) {
	if !c.Decodes {
		t.Skip("does not decode")
	}
	conv := c.make()
	c.g.Partitions = 1
	tables := c.g.Tables(0) // one topic: the order of all records is kept
	var want, got connect.Batch
	for range 5 {
		var b connect.Batch
		var m connect.Messages
		c.g.Fill(&b, tables, 20)
		must(t, conv.Encode(&m, &b))
		for i := range m.List { // one at a time is as good
			must(t, conv.Decode(&got, m.List[i:i+1]))
		}
		CopyBatch(&want, &b)
	}
	c.compare(t, 0, &got, &want)
}

// testConvertGarbage: what no converter wrote is an error, or nothing; never a
// panic.
func testConvertGarbage(t *testing.T, c *converterCase) {
	if !c.Decodes {
		t.Skip("does not decode")
	}
	var b, got connect.Batch
	var m connect.Messages
	conv := c.make()
	c.g.Fill(&b, c.g.Tables(2), 50)
	must(t, conv.Encode(&m, &b))
	for range 500 {
		msg := CloneMessage(&m.List[c.g.IntN(len(m.List))])
		switch v := msg.Value; c.g.IntN(4) {
		case 0:
			msg.Value = v[:c.g.IntN(len(v)+1)]
		case 1:
			v[c.g.IntN(len(v))] ^= 1 << c.g.IntN(8)
		case 2:
			msg.Value = c.g.binary(&b, c.g.IntN(200))
		case 3:
			i := c.g.IntN(len(v))
			msg.Value = bytes.Join([][]byte{v[:i], c.g.binary(&b, c.g.IntN(9)), v[i:]}, nil)
		}
		got.Reset()
		if err := conv.Decode(&got, []connect.Message{msg}); err != nil && len(got.Records) > 0 {
			t.Fatalf("a message that fails leaves %d records", len(got.Records))
		}
	}
	must(t, conv.Decode(&got, m.List)) // and the converter still works
}
