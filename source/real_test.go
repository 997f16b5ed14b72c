package source

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// realData returns the path of a file of the shared real data, or skips.
func realData(t testing.TB, rel ...string) []string {
	t.Helper()
	root := os.Getenv("WHERETO_DATA")
	for _, dir := range []string{"../../shared/data", "../shared/data"} {
		if _, err := os.Stat(dir); root == "" && err == nil {
			root = dir
		}
	}
	var paths []string
	for _, r := range rel {
		p := filepath.Join(root, r)
		if _, err := os.Stat(p); root == "" || err != nil {
			t.Skipf("real data %s is not here; set WHERETO_DATA to its folder", r)
		}
		paths = append(paths, p)
	}
	return paths
}

func TestNewYorkReadsWhole(t *testing.T) {
	paths := realData(t, "foursquare-nyc/checkins.tsv.gz")
	all, rep, err := ReadAll(t.Context(), paths, Options{Format: TSMC})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Good != 147938 || rep.Bad != 0 || rep.Rows != 147938 || len(all) != 147938 {
		t.Errorf("good %d, bad %d, rows %d, actions %d; want 147938, 0, 147938, 147938", rep.Good, rep.Bad, rep.Rows, len(all))
	}
	users, pois := distinct(all)
	if users != 1083 || pois != 5134 {
		t.Errorf("%d users, %d POIs; the data's page says 1083, 5134", users, pois)
	}
	a := all[0]
	if a.User != "470" || a.Category != "Arts & Crafts Store" || a.OffsetMin != -240 || a.Type != "checkin" ||
		a.TimeMS != time.Date(2012, 4, 3, 18, 0, 9, 0, time.UTC).UnixMilli() {
		t.Errorf("first action %+v", a)
	}
	for _, w := range rep.Warnings {
		t.Log(w)
	}
}

func TestTokyoHeadHasOneReject(t *testing.T) {
	paths := realData(t, "foursquare-tky-head/dataset_TSMC2014_TKY.csv.gz")
	var rejects rejectLog
	_, rep, err := ReadAll(t.Context(), paths, Options{Format: TSMCCSV, MaxBadRows: 1, Reject: &rejects})
	if err != nil {
		t.Fatal(err)
	}
	if rep.Good != 8261 || rep.Bad != 1 || len(rejects.all) != 1 {
		t.Fatalf("good %d, bad %d, rejects %d; want 8261, 1, 1", rep.Good, rep.Bad, len(rejects.all))
	}
	if r := rejects.all[0]; r.Line != 8263 || r.Reason != ReasonColumns {
		t.Errorf("reject %+v; want line 8263, %q", r, ReasonColumns)
	}
	for _, w := range rep.Warnings {
		t.Log(w)
	}
}

func TestGowallaCaliforniaReadsWhole(t *testing.T) {
	paths := realData(t, "gowalla-ca-late/val.csv.gz", "gowalla-ca-late/test.csv.gz")
	for _, zone := range []string{"", "America/Los_Angeles"} {
		all, rep, err := ReadAll(t.Context(), paths, Options{Format: GETNext, Zone: zone})
		if err != nil {
			t.Fatal(err)
		}
		if rep.Good != 23944+24160 || rep.Bad != 0 || rep.Files != 2 {
			t.Errorf("good %d, bad %d, files %d; want %d, 0, 2", rep.Good, rep.Bad, rep.Files, 23944+24160)
		}
		users, pois := distinct(all)
		if users != 1704 || pois != 7967 {
			t.Errorf("%d users, %d POIs; the data's page says 1704, 7967", users, pois)
		}
		want := int16(-480) // nautical: -122.4/15 rounds to -8 h
		if zone != "" {
			want = -420 // daylight saving in August
		}
		if all[0].OffsetMin != want || all[0].Category != "Other - Food" {
			t.Errorf("zone %q: first action %+v, want offset %d", zone, all[0], want)
		}
		for _, w := range rep.Warnings {
			t.Log(w)
		}
	}
}

func BenchmarkReadNewYork(b *testing.B) {
	paths := realData(b, "foursquare-nyc/checkins.tsv.gz")
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := ReadAll(b.Context(), paths, Options{Format: TSMC}); err != nil {
			b.Fatal(err)
		}
	}
}
