//go:build linux

package main

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A result has the measures of one subject on one network.
type result []measure

// median returns the median of a figure; of an even number of measures, the lower of the
// two in the middle.
func median[T cmp.Ordered](r result, of func(measure) T) T {
	all := make([]T, len(r))
	for i, m := range r {
		all[i] = of(m)
	}
	slices.Sort(all)
	return all[(len(all)-1)/2]
}

func (r result) wall() time.Duration {
	return median(r, func(m measure) time.Duration { return m.Wall })
}

func (r result) least() time.Duration {
	return slices.MinFunc(r, func(a, b measure) int { return cmp.Compare(a.Wall, b.Wall) }).Wall
}

// timeTable shows wall times, and their ratio to the floor.
func timeTable(results map[network][]result) string {
	var t table
	head := []string{"program and identity", "requests, connections", "floor", "round trips"}
	for _, rtt := range latencies {
		head = append(head, fmt.Sprintf("at %d ms", rtt.Milliseconds()))
	}
	t.row(head...)
	t.rule()
	near, far := latencies[1], latencies[len(latencies)-1]
	for i, s := range subjects {
		one := results[network{rtt: far}][i][0]
		// More latency adds only round trips, so other costs cancel out.
		trips := float64(results[network{rtt: far}][i].wall()-results[network{rtt: near}][i].wall()) / float64(far-near)
		row := []string{s.name, fmt.Sprintf("%d, %d", one.requests, one.connections), fmt.Sprint(s.floor), fmt.Sprintf("%.1f", trips)}
		for _, rtt := range latencies {
			r := results[network{rtt: rtt}][i]
			text := fmt.Sprintf("%s (%s)", ms(r.wall()), ms(r.least()))
			if rtt > 0 {
				text = fmt.Sprintf("**%.2f** %s", float64(r.wall())/float64(s.floor)/float64(rtt), text)
			}
			row = append(row, text)
		}
		t.row(row...)
	}
	row := []string{"stock SDKs ÷ azdo-pat, agent user", "", "", ""}
	for _, rtt := range latencies {
		r := results[network{rtt: rtt}]
		row = append(row, fmt.Sprintf("**%.2f**", float64(r[1].wall())/float64(r[0].wall())))
	}
	t.row(row...)
	return t.String()
}

// costTable shows the costs that do not depend on latency.
func costTable(results map[network][]result, versions map[string]result, i image) string {
	near, plain := results[network{}], results[network{plain: true}]
	own := func(m measure) time.Duration { return m.Wall - m.served }
	cpu := func(m measure) time.Duration { return m.User + m.System }
	var all result // peak memory does not depend on the latency
	for _, rtt := range latencies {
		all = append(all, results[network{rtt: rtt}][0]...)
	}
	ratio := func(r, to result, of func(measure) time.Duration) string {
		return fmt.Sprintf("%s (**%.2f**)", ms(median(r, of)), float64(median(r, of))/float64(median(to, of)))
	}
	peak := func(m measure) int64 { return m.Peak }
	most := slices.MaxFunc(all, func(a, b measure) int { return cmp.Compare(a.Peak, b.Peak) }).Peak

	var t table
	t.row("azdo-pat, agent user", "figure", "goal")
	t.rule()
	t.row("wall time without latency", ms(near[0].wall()), "")
	t.row("the program's share of it (÷ bare net/http)", ratio(near[0], near[2], own), "under 10 ms")
	t.row("CPU time, user and system (÷ bare net/http)", ratio(near[0], near[2], cpu), "")
	t.row("without TLS, the program's own (÷ bare net/http)", ratio(plain[0], plain[2], own), "")
	t.row("without TLS, CPU time (÷ bare net/http)", ratio(plain[0], plain[2], cpu), "")
	t.row("start and end alone (÷ bare net/http)", ratio(versions[azdoPAT], versions[bare], func(m measure) time.Duration { return m.Wall }), "")
	t.row("peak resident memory, median and maximum", mb(median(all, peak))+", "+mb(most), "under 20 MB")
	t.row("binary, linux/"+runtime.GOARCH, mb(i.binary), "")
	t.row("image, unpacked", mb(i.unpacked), "under 10 MB")
	t.row("image, as it is pulled", mb(i.packed), "under 4 MB")
	return t.String()
}

func ms(d time.Duration) string {
	if d < 100*time.Millisecond {
		return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
	}
	return fmt.Sprintf("%.0f ms", float64(d)/float64(time.Millisecond))
}

func mb(n int64) string { return fmt.Sprintf("%.2f MB", float64(n)/1e6) }

// A table is a table in Markdown.
type table struct {
	strings.Builder
	columns int
}

func (t *table) row(cells ...string) {
	t.columns = len(cells)
	fmt.Fprintf(t, "| %s |\n", strings.Join(cells, " | "))
}

func (t *table) rule() { fmt.Fprintln(t, strings.Repeat("|---", t.columns)+"|") }
