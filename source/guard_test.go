package source

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/whereto/whereto/poi"
)

// sleepyCity returns a TSMC file of check-ins at each hour from 8:00 to 23:59
// local time, in time order, shown to the reader with the given time shift.
func sleepyCity(lat, lng float64, offsetMin int, shift time.Duration) string {
	var b strings.Builder
	start := time.Date(2012, 4, 3, 0, 0, 0, 0, time.UTC)
	for i := range 960 {
		day, minute := i/32, 8*60+i%32*30
		utc := start.AddDate(0, 0, day).Add(time.Duration(minute-offsetMin) * time.Minute).Add(shift)
		fmt.Fprintf(&b, "u%d\tv\t\tBridge\t%g\t%g\t%d\t%s\n", i, lat, lng, offsetMin, utc.Format(time.RubyDate))
	}
	return b.String()
}

func TestTimeZoneGuard(t *testing.T) {
	hour := time.Hour
	for _, c := range []struct {
		name, content string
		want          string // part of the only warning; "" for none
	}{
		{"New York", sleepyCity(40.7, -74, -240, 0), ""},
		{"Tokyo", sleepyCity(35.7, 139.6, 540, 0), ""},
		{"Urumqi keeps Beijing's time", sleepyCity(43.8, 87.6, 480, 0), ""},
		{"Line Islands are a day ahead", sleepyCity(1.9, -157.4, 840, 0), ""},
		{"New York, sign wrong", sleepyCity(40.7, -74, 240, 0), "check the offset's sign"},
		{"New York, swapped", sleepyCity(-74, 40.7, -240, 0), "lie beyond 75 degrees"},
		{"Bogota, swapped", sleepyCity(-74, 4.7, -300, 0), "look swapped"},
		{"Nairobi, swapped", sleepyCity(36.8, -1.3, 180, 0), ""},    // 0.1 h of sun time beside +3 h: cannot be known
		{"Mumbai, swapped", sleepyCity(72.9, 19.1, 330, 0), "swap"}, // +5.5 h where 1.3 h is due, but fits 72.9 degrees
		{"New York, local marked as UTC", sleepyCity(40.7, -74, -300, -5*hour), "look local and marked as UTC"},
		{"Tokyo, local marked as UTC", sleepyCity(35.7, 139.6, 540, 9*hour), "look local and marked as UTC"},
		{"New York, clock 7 h wrong", sleepyCity(40.7, -74, -240, 7*hour), "check the offset or the zone"},
	} {
		_, rep, err := ReadAll(t.Context(), []string{writeFile(t, "a.txt", c.content)}, Options{Format: TSMC})
		if err != nil {
			t.Fatal(c.name, err)
		}
		joined := strings.Join(rep.Warnings, "\n")
		if (c.want == "") != (joined == "") || !strings.Contains(joined, c.want) {
			t.Errorf("%s: warnings %q, want %q", c.name, rep.Warnings, c.want)
		}
	}
}

func TestZoneOfOptionsIsGuardedToo(t *testing.T) {
	var b strings.Builder
	for i := range 30 {
		fmt.Fprintf(&b, "%d\t2010-10-19T23:%02d:27Z\t37.7\t-122.4\t1\n", i, i)
	}
	path := writeFile(t, "a.txt", b.String())
	for zone, want := range map[string]int{"": 0, "America/Los_Angeles": 0, "Asia/Tokyo": 1} {
		_, rep, err := ReadAll(t.Context(), []string{path}, Options{Format: Gowalla, Zone: zone})
		if err != nil || len(rep.Warnings) != want {
			t.Errorf("zone %q: warnings %q, error %v; want %d", zone, rep.Warnings, err, want)
		}
	}
}

func TestQuietest(t *testing.T) {
	var h [24]int
	for i := range h {
		h[i] = 10
	}
	for _, i := range []int{22, 23, 0, 1, 2, 3} {
		h[i] = 1
	}
	if middle, share := quietest(h); middle != 1 || share != 6.0/186 {
		t.Errorf("quietest = %g, %g; want 1 (22:00 to 4:00), 6/186", middle, share)
	}
}

func TestOrderDuplicatesAndLatin1AreWarnings(t *testing.T) {
	content := tsmcRow("u1", 5) + "\n" + tsmcRow("u1", 3) + "\n" + tsmcRow("u1", 5) + "\n" + tsmcRow("u1", 5) + "\n" +
		strings.Replace(tsmcRow("u2", 6), "Bridge", "Caf\xe9", 1) + "\n"
	path := writeFile(t, "a.txt", content)
	all, rep, err := ReadAll(t.Context(), []string{path}, Options{Format: TSMC})
	if err != nil || len(all) != 5 || all[4].Category != "Café" {
		t.Fatal(all, err)
	}
	for i, want := range []string{path + ": 1 lines are not UTF-8", path + ": 1 of 5 rows are earlier", "2 rows are exact copies"} {
		if len(rep.Warnings) != 3 || !strings.HasPrefix(rep.Warnings[i], want) {
			t.Errorf("warning %d of %q, want %q", i, rep.Warnings, want)
		}
	}
}

func TestUnknownColumnsAreNamed(t *testing.T) {
	csv := writeFile(t, "a.csv", "user,poi,lat,lng,time_ms,usr_lat\nu,p,1,2,1333476009000,3\n")
	jsonl := writeFile(t, "a.jsonl", `{"user":"u","poi":"p","lat":1,"lng":2,"time_ms":1333476009001,"usr_lat":3}`)
	for _, path := range []string{csv, jsonl} {
		_, rep, err := ReadAll(t.Context(), []string{path}, Options{Format: Actions})
		if err != nil || len(rep.Warnings) != 1 || !strings.Contains(rep.Warnings[0], `"usr_lat" is "user_lat"`) {
			t.Errorf("%s: warnings %q, error %v", path, rep.Warnings, err)
		}
	}
}

// Memory for duplicates is bounded: a copy within the window is seen, and two
// generations are the most that is ever kept.
func TestDuplicateWindow(t *testing.T) {
	d := duplicates{window: window{size: 10}}
	for i := range 100 {
		d.add(&poi.Action{TimeMS: int64(i)})
		if len(d.young)+len(d.old) > 20 {
			t.Fatalf("%d hashes kept", len(d.young)+len(d.old))
		}
	}
	for i := 91; i < 100; i++ { // the last 10 rows but one
		d.add(&poi.Action{TimeMS: int64(i)})
	}
	d.add(&poi.Action{TimeMS: 0}) // long gone
	if d.count != 9 || !strings.Contains(d.warning(), "more than 10 rows apart") {
		t.Errorf("%d copies seen, want 9: %s", d.count, d.warning())
	}
}

// Rows that differ in one field only are no copies.
func TestDuplicateHashSeesEveryField(t *testing.T) {
	rows := []poi.Action{{}, {User: "x"}, {POI: "x"}, {Name: "x"}, {Category: "x"}, {Type: "x"}, {Lat: 1}, {Lng: 1},
		{HasUser: true}, {HasUser: true, UserLat: 1}, {HasUser: true, UserLng: 1}, {TimeMS: 1}, {OffsetMin: 1}}
	var d duplicates
	for i := range rows {
		d.add(&rows[i])
	}
	if d.count != 0 {
		t.Errorf("%d of %d different rows count as copies", d.count, len(rows))
	}
	d.add(&poi.Action{User: "x", Seq: 9})
	if d.count != 1 {
		t.Error("a copy with another Seq was not seen")
	}
}
