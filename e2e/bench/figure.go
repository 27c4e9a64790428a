package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// mark is what a figure should reach.
type mark struct {
	what  string // ratio, times, value or most
	value float64
}

// The kinds of marks: at least or at most so many times the peer, a value of at
// least, and one of at most.
func atLeastTimes(x float64) *mark { return &mark{"ratio", x} }
func atMostTimes(x float64) *mark  { return &mark{"times", x} }
func atLeast(v float64) *mark      { return &mark{"value", v} }
func atMost(v float64) *mark       { return &mark{"most", v} }

// line is one figure: `name value unit ratio-against`, and what belongs to it.
type line struct {
	name    string
	value   float64
	unit    string
	ratio   float64 // to the peer; 0: there is none
	against string
	mark    *mark
	ours    float64 // spread of equal runs, in percent
	peers   float64
	cpu     map[string]float64 // seconds for a million rows
	peak    int64              // of ours, bytes
	note    string
}

// met reports whether the mark is reached; known is false where the peer was
// not measured, or there is no mark.
func (l *line) met() (met, known bool) {
	switch {
	case l.mark == nil || (l.mark.what == "ratio" || l.mark.what == "times") && l.ratio == 0:
		return false, false
	case l.mark.what == "ratio":
		return l.ratio >= l.mark.value, true
	case l.mark.what == "times":
		return l.ratio <= l.mark.value, true
	case l.mark.what == "value":
		return l.value >= l.mark.value, true
	}
	return l.value <= l.mark.value, true
}

func (l *line) markText() string {
	if l.mark == nil {
		return ""
	}
	text := map[string]string{"ratio": "at least %s x", "times": "at most %s x", "value": "at least %s", "most": "at most %s"}[l.mark.what]
	text = fmt.Sprintf(text, number(l.mark.value))
	met, known := l.met()
	switch {
	case !known:
		return text + ": not measured"
	case met:
		return text + ": met"
	}
	return text + ": MISSED"
}

func (l *line) cpuText() string {
	var parts []string
	for _, who := range slices.Sorted(maps.Keys(l.cpu)) {
		parts = append(parts, fmt.Sprintf("%s %.2f", who, l.cpu[who]))
	}
	return strings.Join(parts, ", ")
}

func (l *line) spreadText() string {
	s := ""
	if l.ours > 0 {
		s = fmt.Sprintf("%.0f %%", l.ours)
	}
	if l.peers > 0 {
		s += fmt.Sprintf(" / %.0f %%", l.peers)
	}
	return s
}

func (l *line) ratioText() string {
	if l.ratio == 0 {
		return ""
	}
	return fmt.Sprintf("%.2f x %s", l.ratio, l.against)
}

// String is the line as it is printed.
func (l *line) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%-30s %10s %-8s", l.name, number(l.value), l.unit)
	for _, part := range []struct{ form, text string }{
		{" %s", l.ratioText()}, {"  [%s]", l.markText()}, {"  A/A %s", l.spreadText()}, {"  cpu s/M: %s", l.cpuText()}, {"  peak %s", megabytes(l.peak)}, {"  (%s)", l.note},
	} {
		if part.text != "" {
			fmt.Fprintf(&b, part.form, part.text)
		}
	}
	return b.String()
}

// row is the line as a row of a table in Markdown; see results.go for its head.
func (l *line) row() string {
	cells := []string{l.name, number(l.value) + " " + l.unit, l.ratioText(), l.markText(), l.spreadText(), l.cpuText(), megabytes(l.peak), l.note}
	return "| " + strings.Join(cells, " | ") + " |"
}

// number writes v with as many digits as it deserves.
func number(v float64) string {
	switch {
	case v >= 1000:
		s := fmt.Sprintf("%.0f", v)
		for i := len(s) - 3; i > 0; i -= 3 {
			s = s[:i] + "," + s[i:]
		}
		return s
	case v >= 100 || v == float64(int64(v)):
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2f", v)
}

func megabytes(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("%d MB", (n+1<<20-1)>>20)
}
