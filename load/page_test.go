package load

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"
)

// soaked is a result with memory, a window and a name that must be escaped.
func soaked() *Result {
	r := &Result{URL: "http://127.0.0.1:1", Started: time.Unix(1e9, 0), Seconds: 600, Rate: 40, SLO: 100, Mix: Mix{Recommend: 80, Actions: 20}, Seed: 3,
		Machine: Machine{Cores: 2, CPU: "<fast>", Shared: true}, World: WorldSize{Users: 5, Places: 7}, Writes: &Writes{Acknowledged: 90},
		Kinds:   []Row{{Kind: "recommend", Asked: 100, Answered: 98, Errors: map[string]int{"500": 2}, P50: Estimate{Value: 1.5}, Within: Estimate{Value: 0.97}}},
		Total:   Row{Kind: "all", Asked: 100, Answered: 98},
		Windows: []Announced{{From: 200, To: 203.5, Why: "killed and started again"}}, Memory: &Memory{}}
	for i := range 60 {
		r.Memory.Samples = append(r.Memory.Samples, Sample{Seconds: float64(10 * i), ResidentMiB: 300 + float64(i%7), HeapMiB: 120})
	}
	return r
}

// TestPage: the page says what was measured, draws a point for every sample and the
// window where it was, and escapes what it was given.
func TestPage(t *testing.T) {
	var b bytes.Buffer
	if err := soaked().Page(&b); err != nil {
		t.Fatal(err)
	}
	page := b.String()
	for _, want := range []string{"90, 0 lost", "97 %", "killed and started again, 3.5 s", "&lt;fast&gt;", "8 min", "<td>2</td>"} {
		if !strings.Contains(page, want) {
			t.Errorf("the page does not say %q", want)
		}
	}
	points := strings.Fields(strings.Split(strings.Split(page, `class="resident" points="`)[1], `"`)[0])
	if len(points) != 60 || strings.Contains(page, "NaN") || strings.Contains(page, "<fast>") {
		t.Errorf("%d points of 60 samples", len(points))
	}
	without := soaked()
	without.Memory, without.Windows = nil, nil
	b.Reset()
	if err := without.Page(&b); err != nil || strings.Contains(b.String(), "<svg") {
		t.Errorf("a page without memory has a drawing (%v)", err)
	}
}

// broken fails to write.
type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("full") }

func TestPageTellsOfFailure(t *testing.T) {
	if err := soaked().Page(broken{}); err == nil {
		t.Error("a page that cannot be written is no error")
	}
}
