package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/run"
)

// Each mistake gets a clear sentence and its exit status; nothing is lost.
func TestRunCommandsFail(t *testing.T) {
	dir := trainTiny(t)
	user, history := knownVisits(t, dir, 0)
	_, holed := knownVisits(t, dir, 2)
	if _, stderr, status := at(t, dir, "data synth --users 40 --pois 300 --days 30 --seed 9 --out @/city9"); status != 0 {
		t.Fatal(stderr)
	}
	text, err := os.ReadFile(history)
	if err != nil {
		t.Fatal(err)
	}
	two := testkit.WriteFile(t, "two.csv", strings.Replace(string(text), "\nme,", "\nyou,", 1))
	badType := testkit.WriteFile(t, "type.csv", strings.Replace(string(text), "\nme,", "\nme,", 1)+"me,"+strings.SplitN(strings.SplitN(string(text), "\n", 3)[1], ",", 3)[1]+",n,c,45.7,4.8,2030-01-01T00:00:00Z,60,teleport\n")
	odd := testkit.WriteFile(t, "odd.yaml", "name: odd\ntraining: {epoks: 3}\n")
	names := strings.NewReplacer("USER", user, "HISTORY", history, "HOLED", holed, "TWO", two, "TYPE", badType, "ODD", odd)
	for _, c := range []struct {
		line   string
		tiny   bool
		stderr string
		status int
	}{
		{"pretrain none", false, `recipe "none" is neither a file nor shipped`, 1},
		{"pretrain ./none.yaml", false, "none.yaml", 1},
		{"pretrain ODD", false, `unknown key "epoks" in training; nearest is "epochs"`, 1},
		{"pretrain quickstart --set training.epoks=3", false, `nearest is "epochs"`, 2},
		{"pretrain quickstart --set training.epochs=-3", false, "epochs is -3", 2},
		{"pretrain quickstart --data= --out @/x", false, "--data is empty", 2},
		{"pretrain quickstart --data @/none --out @/x", false, "none", 1},
		{"pretrain nyc --out @/x", false, "names none; say where they are with --data", 2},
		{"pretrain quickstart --out @/run --resume never", true, "choose another --out", 1},
		{"pretrain quickstart --out @/run --set training.lr=0.004", true, "training.lr is 0.003 there, 0.004 here", 1},
		{"pretrain quickstart --out @/city", true, "this is not a run folder", 1},
		{"eval @/none", false, "give the folder that pretrain wrote", 1},
		{"eval @/city", false, "this is not a run folder", 1},
		{"eval @/run --split train", false, "use one of validation, test", 2},
		{"eval @/run --data @/city9", false, "was trained on data", 1},
		{"eval @/run --data @/gone", false, "say where with --data", 1},
		{"audit @/run --targets 1", false, "--targets is 1", 2},
		{"recommend @/run", false, "at least one of the flags", 2},
		{"recommend @/run --user x --history y", false, "none of the others can be", 2},
		{"recommend @/run --user nobody", false, "unknown user", 1},
		{"recommend @/run --user USER -k 0", false, "-k is 0, want 1 to", 2},
		{"recommend @/run --user USER -k 100000", false, "-k is 100000", 2},
		{"recommend @/run --user USER --lat 45", false, "[lat lng]", 2},
		{"recommend @/run --user USER --lat 95 --lng 4", false, "--lat 95", 2},
		{"recommend @/run --user USER --time noon", false, "want RFC 3339", 2},
		{"recommend @/run --user USER --time 2001-01-01T00:00:00Z", false, "no visit before 2001-01-01T00:00:00Z", 1},
		{"recommend @/run --user USER --skip-unknown", false, "--skip-unknown goes with --history", 2},
		{"recommend @/run --history HOLED", false, `row 2: POI "nowhere": unknown POI`, 1},
		{"recommend @/run --history TWO", false, "give the actions of one person", 1},
		{"recommend @/run --history TYPE", false, `action type "teleport"`, 1},
		{"recommend @/run --history HISTORY --time 2001-01-01T00:00:00Z", false, "after the request's time", 1},
		{"recommend @/run --history @/none.csv", false, "none.csv", 1},
		{"bench train quickstart --batches 9", false, "--batches is 9", 2},
		{"bench index --places 1.5", false, `--places "1.5"`, 2},
		{"recipes cat none", false, "there are: ", 2},
		{"quickstart --seed=-1", false, "--seed is -1", 2},
		{"quickstart --set training.epoks=1", false, `nearest is "epochs"`, 2},
	} {
		var more []string
		if c.tiny {
			more = tiny()
		}
		stdout, stderr, status := at(t, dir, names.Replace(c.line), more...)
		if status != c.status || !strings.Contains(stderr, c.stderr) || stdout != "" {
			t.Errorf("%s: status %d, standard output %q, standard error %q; want %d saying %q", c.line, status, stdout, stderr, c.status, c.stderr)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "x")); !os.IsNotExist(err) {
		t.Errorf("a refused call left a run folder behind (%v)", err)
	}
}

// A run that was stopped half way is completed; one that another process works
// on, or whose data changed, is left alone.
func TestStoppedRuns(t *testing.T) {
	dir := trainTiny(t)
	path := func(parts ...string) string { return filepath.Join(append([]string{dir, "run"}, parts...)...) }
	for _, name := range []string{run.DoneFile, run.IndexFile, "card.json"} {
		if err := os.Remove(path(name)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := run.Open(path())
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Lock(); err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := at(t, dir, "pretrain quickstart --out @/run", tiny()...); status != 1 || !strings.Contains(stderr, run.ErrLocked.Error()) {
		t.Errorf("a locked run: status %d, %s", status, stderr)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if _, stderr, status := at(t, dir, "eval @/run"); status != 1 || !strings.Contains(stderr, "--resume auto") {
		t.Errorf("half a run was evaluated: status %d, %s", status, stderr)
	}
	if _, stderr, status := at(t, dir, "data synth --users 40 --pois 300 --days 30 --seed 9 --out @/other"); status != 0 {
		t.Fatal(stderr)
	}
	if _, stderr, status := at(t, dir, "pretrain quickstart --data @/other --out @/run", tiny()...); status != 1 || !strings.Contains(stderr, "was trained on data") {
		t.Errorf("other data: status %d, %s", status, stderr)
	}
	for i, want := range []string{"trained with seed 1: 4 steps", "is finished already"} {
		stdout, stderr, status := at(t, dir, "pretrain quickstart --out @/run", tiny()...)
		if status != 0 || !strings.Contains(stdout, want) {
			t.Errorf("call %d: status %d, %q, %s", i, status, stdout, stderr)
		}
	}
	if _, stderr, status := at(t, dir, "eval @/run --split validation"); status != 0 {
		t.Errorf("the completed run: status %d, %s", status, stderr)
	}
}

// Recipes differ by their settings, not by where the data lies.
func TestRecipeDiff(t *testing.T) {
	old, err := readRecipe("quickstart", nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		sets []string
		want string
	}{
		{nil, ""},
		{[]string{"data.paths=[a, b]"}, ""},
		{[]string{"training.seed=5"}, "training.seed is 1 there, 5 here"},
		{[]string{"training.seed=5", "training.lr_scale={a: 2}"}, "training.lr_scale is map[] there"},
		{[]string{"batch.window=9", "batch.chunk=9", "batch.size=9", "batch.geo_table=9"}, "and 1 more"},
	} {
		now, err := readRecipe("quickstart", nil, c.sets)
		if err != nil {
			t.Fatal(err)
		}
		got, err := recipeDiff(old, now)
		if err != nil || (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%v: got %q (%v), want %q", c.sets, got, err, c.want)
		}
	}
}

// By hand: 1, 2, 4 has mean 7/3 and sample variance 7/3.
func TestMeanSD(t *testing.T) {
	mean, sd := meanSD([]float64{1, 2, 4})
	if d := mean - 7.0/3; d > 1e-12 || d < -1e-12 {
		t.Errorf("mean %v", mean)
	}
	if d := sd*sd - 7.0/3; d > 1e-12 || d < -1e-12 {
		t.Errorf("variance %v", sd*sd)
	}
}

// The bytes of a NumPy file, format 1.0: magic, version, length, header padded
// to 64 bytes, data.
func TestNPY(t *testing.T) {
	var b strings.Builder
	if err := writeNPY(&b, []int32{1, 2, -1}, []int{3, 1}); err != nil {
		t.Fatal(err)
	}
	head := "{'descr': '<i4', 'fortran_order': False, 'shape': (3, 1,), }"
	want := "\x93NUMPY\x01\x00\x76\x00" + head + strings.Repeat(" ", 118-len(head)-1) + "\n" + "\x01\x00\x00\x00\x02\x00\x00\x00\xff\xff\xff\xff"
	if b.String() != want {
		t.Errorf("got  %q\nwant %q", b.String(), want)
	}
	if err := writeNPY(&b, []int64{1}, []int{1}); err == nil {
		t.Error("int64 was written as something else")
	}
	for i, name := range inputNames {
		if name == "" {
			t.Errorf("input %d of a batch has no file name", i)
		}
	}
}
