package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"regexp"
	"strings"
)

// The recording is as narrow as a phone, so that it can be read on one.
const (
	columns    = 60
	screenRows = 24
	rowHeight  = 18.0 // in pixels, as all lengths here
	margin     = 14.0
	// linePause and titlePause are how long a line and the title of a step stay the
	// last one, endPause how long the end is shown before it starts again; in seconds.
	linePause, titlePause, endPause = 0.5, 1.2, 6.0
)

// changing matches what differs from run to run, with what stands for it in a recording.
var changing = []struct {
	pattern *regexp.Regexp
	stands  string
}{
	{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ`), "2026-01-15T09:15:00Z"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:8080"},
	{regexp.MustCompile(`\b[0-9a-f]{16}\b`), "84b8a9d79313dde6"},
	{regexp.MustCompile(`(PAT |authorization-id: |Id \| \x60)[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}`), "${1}79480094-3476-40e3-9a12-556c45e33ccf"},
	{regexp.MustCompile(`\b[0-9a-f]{7} Say hello`), "9e5bc43 Say hello"},
	{regexp.MustCompile(`lived \d+s`), "lived 4s"},
}

// recording is the output of the demo as an animated SVG, without the job's summaries. It
// is the same for every run.
func recording(output string) string {
	var rows []string
	summary := false
	for line := range strings.Lines(strings.TrimSpace(output)) {
		line = strings.TrimRight(strings.TrimPrefix(line, "   "), " \n")
		switch {
		case line == "the job's summary:":
			summary = true
		case summary && strings.HasPrefix(line, "  |"):
		case line == "" && len(rows) > 0 && rows[len(rows)-1] == "":
		case strings.HasSuffix(line, " so far)"): // a wait, on a slow machine
		default:
			summary = false
			for _, c := range changing {
				line = c.pattern.ReplaceAllString(line, c.stands)
			}
			rows = append(rows, wrap(line)...)
		}
	}
	return draw(rows)
}

// wrap breaks a line into the rows of the screen.
func wrap(line string) []string { return wrapAt(line, columns) }

// wrapAt breaks a line into rows of so many columns. All but the first are indented.
func wrapAt(line string, columns int) (rows []string) {
	for indent := ""; ; indent = "  " {
		runes := []rune(indent + line)
		if len(runes) <= columns {
			return append(rows, string(runes))
		}
		end := columns
		if space := strings.LastIndex(string(runes[:columns]), " "); space > len(indent)+columns/3 {
			end = len([]rune(string(runes[:columns])[:space]))
		}
		rows = append(rows, string(runes[:end]))
		line = strings.TrimSpace(string(runes[end:]))
	}
}

// draw shows the rows one after the other and scrolls when the screen is full.
func draw(rows []string) string {
	var times []float64
	now := 0.0
	for _, row := range rows {
		times = append(times, now)
		switch {
		case strings.HasPrefix(row, "== "):
			now += titlePause
		case row != "" && !strings.HasPrefix(row, "  "):
			now += linePause
		}
	}
	total := now + endPause
	percent := func(t float64) string { return fmt.Sprintf("%.2f%%", 100*t/total) }
	width, height := 2*margin+columns*7.25, 2*margin+screenRows*rowHeight
	var css, body, scroll strings.Builder
	for i, row := range rows {
		if past := i + 1 - screenRows; past > 0 {
			fmt.Fprintf(&scroll, " %s { transform: translateY(%gpx); }", percent(times[i]), -float64(past)*rowHeight)
		}
		if row == "" {
			continue
		}
		if i > 0 {
			fmt.Fprintf(&css, "    @keyframes r%d { 0%% { opacity: 0; } %s, 100%% { opacity: 1; } }\n", i, percent(times[i]))
		}
		class := "row"
		switch {
		case strings.HasPrefix(row, "== "):
			class, row = "row title", strings.TrimPrefix(row, "== ")
		case strings.HasPrefix(row, "$ "):
			class = "row typed"
		}
		fmt.Fprintf(&body, "    <text class=\"%s\" style=\"animation-name:r%d\" x=\"%g\" y=\"%g\" xml:space=\"preserve\">%s</text>\n",
			class, i, margin, margin+float64(i)*rowHeight+13, escape(row))
	}
	last := -float64(max(0, len(rows)-screenRows)) * rowHeight
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%g" height="%g" viewBox="0 0 %g %g" role="img" aria-labelledby="title desc">
  <title id="title">A recording of the demo</title>
  <desc id="desc">azdo-pat mints a PAT in a job, the job clones a repository with it and calls the REST API, and the post step revokes it. Then git and the REST API refuse it. go run ./internal/demo prints the same.</desc>
  <style>
    .screen { fill: #f6f8fa; stroke: #d0d7de; }
    text { fill: #1f2328; font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace; }
    .title { fill: #0969da; font-weight: 700; }
    .typed { fill: #1a7f37; font-weight: 700; }
    .row { animation: %.1fs step-end infinite; }
    .scroll { animation: scroll %.1fs step-end infinite; transform: translateY(%gpx); }
    @media (prefers-color-scheme: dark) {
      .screen { fill: #0d1117; stroke: #3d444d; }
      text { fill: #f0f6fc; }
      .title { fill: #4493f8; }
      .typed { fill: #3fb950; }
    }
    @media (prefers-reduced-motion: reduce) { .row, .scroll { animation: none; } }
    @keyframes scroll { 0%% { transform: none; }%s 100%% { transform: translateY(%gpx); } }
%s  </style>
  <clipPath id="screen"><rect x="0.5" y="%g" width="%g" height="%g"/></clipPath>
  <rect class="screen" x="0.5" y="0.5" width="%g" height="%g" rx="8"/>
  <g clip-path="url(#screen)"><g class="scroll">
%s  </g></g>
</svg>
`, width, height, width, height, total, total, last, scroll.String(), last, css.String(), margin-2, width-1, height-2*margin+4, width-1, height-1, body.String())
}

func escape(text string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(text)) // to memory
	return b.String()
}
