package report

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/run"
)

var someDay = time.Date(2026, 3, 1, 10, 0, 0, 0, time.UTC)

// fake says what a run folder of a test holds.
type fake struct {
	name, data, protocol string
	epochs               int
	acc                  float64 // of the result files; 0: none
	rows                 []eval.Prediction
	splits               []string
	floors               map[string]float64 // acc@1
}

// make writes the run and returns its folder.
func (f fake) make(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "run")
	meta := run.NewMeta(f.name, []byte("name: x\n"))
	meta.CreatedAt, meta.Seed, meta.Backend = someDay, 7, "go"
	meta.DataFingerprint, meta.IndexFingerprint = f.data, "index0123"
	meta.Command = []string{"whereto", "pretrain", "a b.yaml"}
	r, err := run.Create(dir, meta, []byte("name: x\n"))
	must(t, err)
	for e := range f.epochs {
		at := someDay.Add(time.Duration(e) * time.Minute)
		must(t, r.AppendMetrics(run.Record{Step: 10*e + 5, Epoch: e, Kind: "train", Time: at, Values: map[string]float64{"loss": 4 / float64(e+1), "lr": .001}}))
		acc := .4 - .01*float64((e-2)*(e-2)) // best after the third epoch
		must(t, r.AppendMetrics(run.Record{Step: 10*e + 10, Epoch: e, Kind: "validation", Time: at, Values: map[string]float64{"acc@1": acc, "mrr": acc + .1}}))
	}
	for _, split := range f.splits {
		if f.acc > 0 {
			var b bytes.Buffer
			must(t, eval.WriteJSON(&b, f.result(split)))
			must(t, r.WriteFile("eval-"+split+".json", b.Bytes()))
		}
		var b bytes.Buffer
		must(t, eval.WritePredictions(&b, f.rows))
		must(t, r.WriteFile(predictionsFile(split), b.Bytes()))
	}
	must(t, r.Close())
	return dir
}

func (f fake) result(split string) *eval.Result {
	row := func(acc float64) eval.Row {
		m := eval.Metrics{"acc@1": {Value: acc, Lo: acc - .02, Hi: acc + .02}, "acc@5": {Value: acc + .1}, "acc@10": {Value: acc + .2}, "mrr": {Value: acc + .05}, "ndcg@10": {Value: acc + .06}}
		return eval.Row{Metrics: m, Returns: eval.Part{N: 3, Share: .75, Metrics: m}, Discovery: eval.Part{N: 1, Share: .25, Metrics: m},
			Fresh:    eval.Part{N: 1, Share: .25, Metrics: eval.Metrics{"acc@10": {Value: acc + .3, Lo: acc + .25, Hi: acc + .35}}},
			Distance: eval.Distances{P50: 120, P75: 1500, P90: 22_000}, Paired: eval.Value{Value: f.acc - acc, Lo: f.acc - acc - .01, Hi: f.acc - acc + .01}}
	}
	res := &eval.Result{Run: f.name, Split: split, Protocol: f.protocol, Fingerprint: f.data, N: 4, Seed: 3, Resamples: 2000, Name: "model", Row: row(f.acc), Floors: map[string]eval.Row{}}
	for name, acc := range f.floors {
		res.Floors[name] = row(acc)
	}
	return res
}

// fourRows are right, wrong by a tie of two, wrong, and wrong and far.
func fourRows() []eval.Prediction {
	near := func(i int, rank, metres float64, hour, history int) eval.Prediction {
		p := eval.Prediction{User: "u", Pos: i, History: history, Hour: hour, POI: fmt.Sprint("p", i), Lat: 40.7 + float64(i)/100, Lng: -74,
			Rank: rank, Top: fmt.Sprint("q", i), TopLat: 40.7, TopLng: -74.02, ErrMetres: metres}
		if metres == 0 {
			p.Top, p.TopLat, p.TopLng = p.POI, p.Lat, p.Lng
		}
		return p
	}
	return []eval.Prediction{near(0, 1, 0, 9, 0), near(1, 1.5, 100, 9, 9), near(2, 10.5, 100.5, 23, 10), near(3, 300, 40_000, 0, 2000)}
}

func full(name string) fake {
	return fake{name: name, data: "data0123456789", protocol: "last-of-trajectory", epochs: 5, acc: .45, rows: fourRows(),
		splits: []string{Test, Validation}, floors: map[string]float64{"counter": .25, "recency": .33}}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pageOf writes the page and checks what holds for every page.
func pageOf(t *testing.T, dirs ...string) string {
	t.Helper()
	var b bytes.Buffer
	must(t, Write(t.Context(), &b, dirs, Options{Now: someDay}))
	testkit.Page(t, b.String())
	return b.String()
}

func wantAll(t *testing.T, page string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
}

func TestPageOfOneRun(t *testing.T) {
	page := pageOf(t, full("nyc").make(t))
	wantAll(t, page, "<h1>nyc</h1>", "default-src 'none'", "2026-03-01 10:00 UTC", "<dd>7</dd>", "<dd>go</dd>", "data0123456789", "index0123",
		"whereto pretrain &#39;a b.yaml&#39;", "n = 4 (returns 3, discovery 1)", "2,000 resamples of rows, seed 3",
		"[0.430, 0.470]", "<strong>&#43;0.2000</strong><small>[&#43;0.190, &#43;0.210]</small>", "model is ahead by",
		"120 m", "1.5 km", "22 km", "Best Acc@1 0.4000 after epoch 3 of 5 recorded", "best 0.4000",
		`<td class="edge">0.6500<small>[0.000, 0.000]</small></td><td>0.7500<small>[0.700, 0.800]</small></td>`,
		`<span class="name">Acc@10 of discoveries among new places</span><span class="value">0.7500</span><span class="below">25 % of rows</span>`,
		"3 of 3 wrong answers (4 rows, test split)", "4m0s, first to last record", "name: x")
	for _, id := range []string{"loss", "lr", "epochs", "cdf", "hours", "history", "map"} {
		wantAll(t, page, `id="run1-`+id+`"`)
	}
	if strings.Contains(page, `class="note"`) {
		t.Error("a complete run has a note")
	}
	if i, j := strings.Index(page, "recency <small>floor"), strings.Index(page, "counter <small>floor"); i < 0 || j < i {
		t.Error("floors are not there with the best first")
	}
}

// A result older than the ranks among new places has no figure, and says so; one
// without discoveries has none to give.
func TestTileWithoutDiscoveries(t *testing.T) {
	for _, c := range []struct {
		finds int
		below string
	}{{1, "an older result; evaluate again"}, {0, "no first visits"}} {
		l := loadAll(t, full("nyc").make(t))[0]
		l.results[Test].Fresh, l.results[Test].Discovery.N = eval.Part{}, c.finds
		if got := tilesOf(l)[3]; got.Value != "-" || got.Below != c.below {
			t.Errorf("%d discoveries: tile %+v", c.finds, got)
		}
		if got := tableOf(l, Test).Rows[0].Fresh; got != (ranged{Value: "-"}) {
			t.Errorf("%d discoveries: cell %+v", c.finds, got)
		}
	}
}

func TestPageIsTheSameTwice(t *testing.T) {
	dir := full("nyc").make(t)
	if pageOf(t, dir) != pageOf(t, dir) {
		t.Error("two pages of one run differ")
	}
}

// Text of a run reaches the page as text, wherever it stands.
func TestEscaping(t *testing.T) {
	evil := `"><script>alert(1)</script>`
	f := full(evil)
	f.protocol, f.data = evil, evil+"0123456789"
	f.floors[evil] = .1
	other := full(evil)
	page := pageOf(t, f.make(t), other.make(t))
	if strings.Contains(page, "<script>alert") || strings.Contains(page, `"><script`) {
		t.Error("a name became markup")
	}
	if n := strings.Count(page, "<script>"); n != 1 {
		t.Errorf("%d scripts on the page, want its own only", n)
	}
	wantAll(t, page, "&lt;script&gt;alert(1)&lt;/script&gt;")
}

func TestEmptyRun(t *testing.T) {
	dir := fake{name: "young"}.make(t)
	page := pageOf(t, dir)
	wantAll(t, page, "The test split has not been evaluated. To write its result, run: whereto eval "+dir+" --split test",
		"training has not written a line yet", "There are no predictions of the test split yet", "not finished")
	if strings.Contains(page, "<svg") || strings.Contains(page, "<table") {
		t.Error("a run without results has a chart or a table")
	}
}

// Each broken file costs its own part of the page and is named there.
func TestBrokenFiles(t *testing.T) {
	good := `{"user":"u","poi":"p","top":"p","rank":1,"hour":1}` + "\n"
	for _, c := range []struct{ name, file, text, says string }{
		{"torn result", "eval-test.json", `{"split":"test","n":`, "eval-test.json cannot be read"},
		{"result of another split", "eval-test.json", `{"split":"train","n":3}`, "it says split &#34;train&#34;"},
		{"result of no rows", "eval-test.json", `{"split":"test"}`, "it says n is 0"},
		{"result of nobody", "eval-test.json", `{"split":"test","n":3}`, "names neither a model nor a floor"},
		{"empty predictions", predictionsFile(Test), "", "has no lines"},
		{"torn prediction", predictionsFile(Test), good + `{"user"`, "line 2: unexpected end of JSON input"},
		{"bad hour", predictionsFile(Test), good + good + `{"rank":1,"hour":24}`, "line 3: hour is 24"},
		{"bad rank", predictionsFile(Test), `{"hour":1}`, "line 1: rank is 0"},
		{"not on Earth", predictionsFile(Test), `{"rank":1,"top_lat":91}`, "91, 0 are not on Earth"},
		{"bad distance", predictionsFile(Test), `{"rank":1,"err_m":-1}`, "err_m is -1"},
		{"distance to the Moon", predictionsFile(Test), `{"rank":1,"err_m":384e6}`, "err_m is 3.84"},
		{"bad history", predictionsFile(Test), `{"rank":1,"history":-1}`, "history is -1"},
		{"long line", predictionsFile(Test), `{"user":"` + strings.Repeat("x", maxLine) + `"}`, "longer than"},
		{"bad metrics", run.MetricsFile, "{}\nNaN\n", "line 2"},
		{"long recipe", run.RecipeFile, strings.Repeat("# x\n", maxRecipe), "are shown"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := full("nyc").make(t)
			must(t, os.WriteFile(filepath.Join(dir, c.file), []byte(c.text), 0o644))
			page := pageOf(t, dir)
			wantAll(t, page, c.says)
			if !strings.Contains(page, "<svg") {
				t.Error("nothing else was drawn")
			}
		})
	}
}

func TestMetricsWithoutValues(t *testing.T) {
	dir := fake{name: "odd"}.make(t)
	text := `{"step":1,"epoch":0,"kind":"train","values":{"lr":0}}` + "\n" + `{"step":1,"epoch":0,"kind":"validation","values":{"acc@1":0.5}}` + "\n"
	must(t, os.WriteFile(filepath.Join(dir, run.MetricsFile), []byte(text), 0o644))
	wantAll(t, pageOf(t, dir), "metrics.jsonl holds no training loss yet", "best 0.5000", "Highest 0 at step 1")
}

func TestAllRight(t *testing.T) {
	f := full("lucky")
	f.rows = fourRows()[:1]
	wantAll(t, pageOf(t, f.make(t)), "All 1 first answers are right")
}

func TestRefusals(t *testing.T) {
	dir := full("nyc").make(t)
	file := filepath.Join(t.TempDir(), "log.csv")
	must(t, os.WriteFile(file, []byte("x"), 0o644))
	for _, c := range []struct {
		name string
		dirs []string
		opt  Options
		want error
		says string
	}{
		{"none", nil, Options{}, ErrInput, "no run folder"},
		{"too many", make([]string, MaxRuns+1), Options{}, ErrInput, "at most 24"},
		{"twice", []string{dir, dir + "/."}, Options{}, ErrInput, "twice"},
		{"split", []string{dir}, Options{Split: "train"}, ErrInput, `"train"`},
		{"a folder that is no run", []string{t.TempDir()}, Options{}, run.ErrIncomplete, "not a run folder"},
		{"no folder", []string{filepath.Join(dir, "none")}, Options{}, os.ErrNotExist, "none"},
		{"a file", []string{file}, Options{}, nil, "not a folder"},
	} {
		t.Run(c.name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "page.html")
			err := WriteFile(t.Context(), out, c.dirs, c.opt)
			if err == nil || c.want != nil && !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("error %v, want %v saying %q", err, c.want, c.says)
			}
			if exists(out) {
				t.Error("a refused page was written")
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := Write(ctx, io.Discard, []string{dir}, Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

// A page that cannot be made leaves the old one, and nothing beside it.
func TestWriteFileKeepsTheOldPage(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "page.html")
	run := full("nyc").make(t)
	must(t, WriteFile(t.Context(), path, []string{run}, Options{Now: someDay}))
	old, err := os.ReadFile(path)
	must(t, err)
	if err := WriteFile(t.Context(), path, []string{run, dir}, Options{}); err == nil {
		t.Error("a folder that is no run was reported on")
	}
	now, err := os.ReadFile(path)
	must(t, err)
	if !bytes.Equal(old, now) {
		t.Error("the old page is gone")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind %v, error %v", left, err)
	}
	err = WriteFile(t.Context(), filepath.Join(dir, "none", "page.html"), []string{run}, Options{})
	if !errors.Is(err, os.ErrNotExist) || !strings.Contains(err.Error(), "--out") {
		t.Errorf("write into no folder: %v", err)
	}
}

func TestDefaultPath(t *testing.T) {
	if got := DefaultPath([]string{"runs/a"}); got != filepath.Join("runs/a", "report.html") {
		t.Error(got)
	}
	if got := DefaultPath([]string{"a", "b"}); got != "report.html" {
		t.Error(got)
	}
}
