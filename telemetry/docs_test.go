package telemetry

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// The table for the engineer on call is the registry, row by row.
func TestOperationsListsEveryMetric(t *testing.T) {
	data, err := os.ReadFile("../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, d := range newTestMetrics(t).Definitions() {
		var labels []string
		for _, l := range d.Labels {
			labels = append(labels, "`"+l+"`")
		}
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s |", d.Name, d.Kind, strings.Join(labels, " "), d.Help))
	}
	var got []string
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "| `"+Prefix) {
			got = append(got, strings.TrimSuffix(line, "\n"))
		}
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("the table of docs/OPERATIONS.md must read\n%s", strings.Join(want, "\n"))
	}
}
