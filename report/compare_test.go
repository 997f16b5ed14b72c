package report

import (
	"fmt"
	"strings"
	"testing"

	"github.com/whereto/whereto/eval"
)

func TestComparison(t *testing.T) {
	a, b := full("nyc"), full("nyc-paper")
	b.acc = .29
	page := pageOf(t, a.make(t), b.make(t))
	wantAll(t, page, "<h1>2 runs compared</h1>", "<h2>Comparison</h2>", "ahead of nyc by", `id="group1-epochs"`, `id="group1-cdf1"`,
		`<span class="key s1"></span>nyc`, `<span class="key s2"></span>nyc-paper`)
	if strings.Contains(page, "cannot all be compared") {
		t.Error("equal data is called different")
	}
	// Equal predictions: the paired difference is exactly zero, and no win.
	wantAll(t, page, "&#43;0.0000<small>[&#43;0.000, &#43;0.000]</small>")
	// A floor on the same rows stands there once in each table of the comparison.
	comparison := page[strings.Index(page, `id="group1"`):strings.Index(page, `id="run1"`)]
	if n := strings.Count(comparison, "counter <small>floor"); n != 2 {
		t.Errorf("the floor has %d rows in the tables of two splits, want 2", n)
	}
}

func TestDifferentDataStaysApart(t *testing.T) {
	a, b, c := full("a"), full("b"), full("c")
	b.data = "other0123456789"
	c.protocol = "every-checkin"
	page := pageOf(t, a.make(t), b.make(t), c.make(t))
	wantAll(t, page, "3 different data sets, protocols", "Data data01234567, last-of-trajectory", "Data other0123456, last-of-trajectory", "Data data01234567, every-checkin", `id="group3"`)
	if strings.Contains(page, "ahead of a by") {
		t.Error("runs on different rows were paired")
	}
}

// A run without results joins the runs on the data it was trained on.
func TestUnevaluatedRunJoinsItsData(t *testing.T) {
	b := full("b")
	b.splits = nil
	page := pageOf(t, full("a").make(t), b.make(t))
	wantAll(t, page, "<h2>Comparison</h2>", "b: The test split has not been evaluated")
}

// The same split with another n is another set of rows.
func TestOtherRowsOtherTable(t *testing.T) {
	a, b := full("a"), full("b")
	b.rows = fourRows()[:3]
	runs := groupsOf(loadAll(t, a.make(t), b.make(t)), map[*loaded]string{})
	if len(runs) != 1 || len(runs[0].Figures) != 3 {
		t.Fatalf("%d groups, want one with a chart of epochs and two of distances", len(runs))
	}
	l := loadAll(t, a.make(t), b.make(t))
	l[1].results[Test].N = 3
	tables := compareTables(l, Test, map[*loaded]string{})
	if len(tables) != 2 || len(tables[0].Remarks) == 0 {
		t.Errorf("%d tables, want 2 with a remark", len(tables))
	}
}

func TestChangedFloorIsTold(t *testing.T) {
	a, b := full("a"), full("b")
	b.floors = map[string]float64{"counter": .26}
	l := loadAll(t, a.make(t), b.make(t))
	table := compareTables(l, Test, map[*loaded]string{})[0]
	var names []string
	for _, r := range table.Rows {
		names = append(names, r.Name)
	}
	if got := fmt.Sprint(names); got != "[a b recency counter counter (of b)]" {
		t.Errorf("rows %s", got)
	}
	if len(table.Remarks) != 1 || !strings.Contains(table.Remarks[0], "counter differs") {
		t.Errorf("remarks %q", table.Remarks)
	}
}

func TestRunsOfOneNameAreToldApart(t *testing.T) {
	l := loadAll(t, full("same").make(t), full("same").make(t), full("own").make(t))
	if l[0].label == l[1].label || !strings.HasPrefix(l[0].label, "same (") || l[2].label != "own" {
		t.Errorf("labels %q, %q, %q", l[0].label, l[1].label, l[2].label)
	}
}

// By hand: hits 1, .5, 0, 0 against 1, 1, 0, 0 differ by 1/8 on average.
func TestPairedDifference(t *testing.T) {
	better := full("b")
	better.rows[1].Rank = 1
	l := loadAll(t, full("a").make(t), better.make(t))
	byRow := &eval.Result{Seed: 1}
	got, why := pairedDifference(l[0], l[1], byRow)
	if got == nil || got.Value != "+0.1250" || got.Clear {
		t.Errorf("difference %+v, %s", got, why)
	}
	// All rows are one user's: drawing users can only draw him.
	got, why = pairedDifference(l[0], l[1], &eval.Result{Seed: 1, ByUser: true})
	if got == nil || got.Range != "[+0.125, +0.125]" || !got.Clear {
		t.Errorf("by user %+v, %s", got, why)
	}
	l[1].tally.order++
	if got, why := pairedDifference(l[0], l[1], byRow); got != nil || !strings.Contains(why, "different rows") {
		t.Errorf("other rows: %+v, %q", got, why)
	}
	l[1].tally = nil
	if got, why := pairedDifference(l[0], l[1], byRow); got != nil || !strings.Contains(why, "missing") {
		t.Errorf("no rows: %+v, %q", got, why)
	}
}

func TestFloorsOnly(t *testing.T) {
	f := full("floors")
	l := loadAll(t, f.make(t))[0]
	l.results[Test].Name, l.results[Test].Row = "", eval.Row{}
	table := tableOf(l, Test)
	if table.Ahead != "" || len(table.Rows) != 2 || !strings.Contains(table.Caption, "returns 3") {
		t.Errorf("table %+v", table)
	}
}
