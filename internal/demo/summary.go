package main

import (
	"fmt"
	"regexp"
	"strings"
)

// In pixels: the columns of the table in the picture of a summary.
const (
	summaryWidth = 720.0
	labelWidth   = 120.0
	valueColumns = 70 // in characters
)

// summaryRow is a row of the table in a summary.
var summaryRow = regexp.MustCompile("^\\| ([A-Z][^|]*) \\| `?([^`|]*)`? \\|$")

// summaryPicture draws the first step summary in the output of the demo as GitHub shows
// it: a heading, a table and a link. It is the same for every run.
func summaryPicture(output string) string {
	_, text, _ := strings.Cut(output, "the job's summary:\n")
	var title, link string
	var labels []string
	var values [][]string
	for line := range strings.Lines(text) {
		line, ok := strings.CutPrefix(strings.TrimSpace(line), "|")
		if !ok {
			break
		}
		line = strings.TrimSpace(line)
		for _, c := range changing {
			line = c.pattern.ReplaceAllString(line, c.stands)
		}
		if heading, ok := strings.CutPrefix(line, "### "); ok {
			title = heading
		} else if m := summaryRow.FindStringSubmatch(line); m != nil {
			labels, values = append(labels, m[1]), append(values, wrapAt(m[2], valueColumns))
		} else if m := regexp.MustCompile(`^\[([^\]]+)\]`).FindStringSubmatch(line); m != nil {
			link = m[1]
		}
	}
	var body strings.Builder
	y := 2*margin + 18
	fmt.Fprintf(&body, "  <text class=\"title\" x=\"%g\" y=\"%g\">%s</text>\n", margin, y-8, escape(title))
	for i, label := range labels {
		height := rowHeight*float64(len(values[i])) + 12
		fmt.Fprintf(&body, "  <rect class=\"cell\" x=\"%g\" y=\"%g\" width=\"%g\" height=\"%g\"/>\n", margin, y, summaryWidth-2*margin, height)
		fmt.Fprintf(&body, "  <text x=\"%g\" y=\"%g\">%s</text>\n", margin+10, y+20, escape(label))
		for n, value := range values[i] {
			fmt.Fprintf(&body, "  <text class=\"code\" x=\"%g\" y=\"%g\" xml:space=\"preserve\">%s</text>\n", margin+labelWidth, y+20+float64(n)*rowHeight, escape(value))
		}
		y += height
	}
	fmt.Fprintf(&body, "  <text class=\"link\" x=\"%g\" y=\"%g\">%s</text>\n", margin, y+26, escape(link))
	height := y + 26 + margin
	return fmt.Sprintf(`<svg xmlns="http://www.w3.org/2000/svg" width="%g" height="%g" viewBox="0 0 %g %g" role="img" aria-labelledby="title">
  <title id="title">The step summary of a job that minted a PAT</title>
  <style>
    .page { fill: #ffffff; stroke: #d0d7de; }
    .cell { fill: none; stroke: #d0d7de; }
    text { fill: #1f2328; font: 14px system-ui, -apple-system, 'Segoe UI', 'Liberation Sans', sans-serif; }
    .title { font-size: 18px; font-weight: 600; }
    .code { font: 12px ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace; }
    .link { fill: #0969da; }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117; stroke: #3d444d; }
      .cell { stroke: #3d444d; }
      text { fill: #f0f6fc; }
      .link { fill: #4493f8; }
    }
  </style>
  <rect class="page" x="0.5" y="0.5" width="%g" height="%g" rx="8"/>
%s</svg>
`, summaryWidth, height, summaryWidth, height, summaryWidth-1, height-1, body.String())
}
