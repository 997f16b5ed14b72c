package testkit_test

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
)

func TestToyIsDeterministic(t *testing.T) {
	a, b := testkit.Toy(7, 6, 20), testkit.Toy(7, 6, 20)
	if !reflect.DeepEqual(a, b) {
		t.Fatal("the same seed gave two data sets")
	}
	if c := testkit.Toy(8, 6, 20); c.Fingerprint == a.Fingerprint {
		t.Fatal("another seed gave the same fingerprint")
	}
}

func TestToyShape(t *testing.T) {
	for _, size := range [][2]int{{0, 0}, {1, 5}, {3, 7}, {20, 40}} {
		d := testkit.Toy(1, size[0], size[1])
		if want := max(size[0], testkit.ToyMinUsers); len(d.Users) != want {
			t.Errorf("size %v: %d users, want %d", size, len(d.Users), want)
		}
		if want := max(size[1], testkit.ToyMinPlaces); len(d.Places) != want {
			t.Errorf("size %v: %d places, want %d", size, len(d.Places), want)
		}
		for u, user := range d.Users {
			checkToyUser(t, d, u, user)
		}
		for tag, targets := range d.Targets {
			if len(targets) == 0 && tag == int(poi.Train) {
				t.Errorf("size %v: no training targets", size)
			}
			for _, target := range targets {
				if got := d.Users[target.User].Visits[target.Pos].Tag; int(got) != tag {
					t.Errorf("size %v: target %v of tag %v listed under %d", size, target, got, tag)
				}
			}
		}
	}
	d := testkit.Toy(1, 20, 40)
	for tag, targets := range d.Targets {
		if len(targets) == 0 {
			t.Errorf("20 users: no targets of tag %v", poi.Tag(tag))
		}
	}
}

// checkToyUser checks order, ids and that a new trajectory means a gap of over
// a day.
func checkToyUser(t *testing.T, d *poi.Dataset, u int, user poi.User) {
	t.Helper()
	for i, v := range user.Visits {
		if v.POI < 0 || int(v.POI) >= len(d.Places) || int(v.Type) >= len(d.Types) || !v.Intent {
			t.Fatalf("user %d visit %d is not valid: %+v", u, i, v)
		}
		if i == 0 {
			continue
		}
		prev := user.Visits[i-1]
		gap := v.TimeMS - prev.TimeMS
		if gap <= 0 || v.Tag < prev.Tag {
			t.Fatalf("user %d visit %d is out of order", u, i)
		}
		if long := gap > 24*3600*1000; long != (v.Traj != prev.Traj) {
			t.Fatalf("user %d visit %d: gap %d ms, trajectories %d and %d", u, i, gap, prev.Traj, v.Traj)
		}
	}
}

// A memory of "which place at this hour" must do well and a plain counter must
// not: else a test that trains on the toy proves nothing.
func TestToyCanBeLearntByHourOnly(t *testing.T) {
	d := testkit.Toy(3, 20, 40)
	byHour, byCount, n := 0, 0, 0
	for _, target := range d.Targets[poi.Train] {
		q, label := d.QueryOf(target), d.Label(target)
		if len(q.History) < 20 {
			continue
		}
		n++
		hour := poi.LocalTime(q.TimeMS, q.OffsetMin).Hour()
		if most(q.History, func(v poi.Visit) bool { return v.Local().Hour() == hour }) == label {
			byHour++
		}
		if most(q.History, func(poi.Visit) bool { return true }) == label {
			byCount++
		}
	}
	if share := float64(byHour) / float64(n); share < 0.8 {
		t.Errorf("hour memory is right in %.2f of %d targets, want at least 0.8", share, n)
	}
	if share := float64(byCount) / float64(n); share > 0.4 {
		t.Errorf("counter is right in %.2f of %d targets, want at most 0.4", share, n)
	}
}

// most returns the most visited place among the visits that keep is true for.
func most(visits []poi.Visit, keep func(poi.Visit) bool) int32 {
	count, best := map[int32]int{}, int32(-1)
	for _, v := range visits {
		if !keep(v) {
			continue
		}
		if count[v.POI]++; best < 0 || count[v.POI] > count[best] {
			best = v.POI
		}
	}
	return best
}

func TestDataDirReadsEnvironment(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("WHERETO_DATA", dir)
	if got := testkit.DataDir(t); got != dir {
		t.Errorf("DataDir = %q, want %q", got, dir)
	}
	if err := os.WriteFile(filepath.Join(dir, "x"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, want := testkit.DataFile(t, "x"), filepath.Join(dir, "x"); got != want {
		t.Errorf("DataFile = %q, want %q", got, want)
	}
}

func TestMissingDataSkips(t *testing.T) {
	t.Setenv("WHERETO_DATA", filepath.Join(t.TempDir(), "absent"))
	skipped := false
	t.Run("inner", func(t *testing.T) {
		defer func() { skipped = t.Skipped() }()
		testkit.DataDir(t)
	})
	if !skipped {
		t.Error("DataDir did not skip the test for a missing folder")
	}
}
