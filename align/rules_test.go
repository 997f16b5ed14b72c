package align

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
)

// rule wraps the keys of one rule, a line each from line 3.
func rule(keys ...string) string {
	return "version: 1\nrules:\n  - " + strings.Join(keys, "\n    ") + "\n"
}

func TestParseRefuses(t *testing.T) {
	const name, hours, prefer = "name: a", "hours: 11:00-14:00", "prefer: Food"
	two := func(a, b string) string {
		return rule(strings.Split(a, "\n")...) + "  - " + strings.ReplaceAll(b, "\n", "\n    ")
	}
	for _, c := range []struct{ text, want string }{
		{"", "the file is empty"},
		{"# nothing\n", "the file is empty"},
		{"[", "x.yaml"},
		{"- 1", "x.yaml:1: the rule file must be a section"},
		{"version: 2\nrules: []", `x.yaml:1: version is "2"`},
		{"version: 1", "x.yaml:1: the rule file has no rules"},
		{"version: 1\nrules: []", "x.yaml:2: rules must be a list of 1 to 100"},
		{"version: 1\nruls: []", `x.yaml:2: unknown key "ruls" in the rule file; nearest is "rules"`},
		{rule(name, hours, prefer) + "---\nversion: 1", "more than one document"},
		{rule(name, hours, prefer, "prefr: x"), `x.yaml:6: unknown key "prefr" in rule 1; nearest is "prefer"`},
		{rule(name, hours, prefer, "name: b"), `x.yaml:6: rule 1 has the key "name" twice`},
		{rule(name, hours, "prefer:"), "x.yaml:5: prefer of rule 1 has no value"},
		{rule(name, hours), "x.yaml:3: rule 1 has no prefer"},
		{rule(name, prefer), "x.yaml:3: rule 1 has no hours"},
		{rule(hours, prefer), "x.yaml:3: rule 1 has no name"},
		{rule("name: 5", hours, prefer), `x.yaml:3: name is "5", want one line of text`},
		{rule(name, "hours: 11:00-11:00", prefer), `x.yaml:4: hours "11:00-11:00" are empty`},
		{rule(name, "hours: 24:00-11:00", prefer), `x.yaml:4: hours "24:00-11:00", want HH:MM-HH:MM`},
		{rule(name, "hours: 11:00-24:01", prefer), "want HH:MM-HH:MM"},
		{rule(name, "hours: 11:60-12:00", prefer), "want HH:MM-HH:MM"},
		{rule(name, "hours: 9:00-12:00", prefer), "want HH:MM-HH:MM"},
		{rule(name, "hours: +1:00-12:00", prefer), "want HH:MM-HH:MM"},
		{rule(name, "hours: lunch", prefer), "want HH:MM-HH:MM"},
		{rule(name, "hours: {a: 1}", prefer), "x.yaml:4: hours must be one text or a list"},
		{rule(name, hours, prefer, "weekdays: [mon, tues]"), `x.yaml:6: weekday "tues"; nearest is "tue"`},
		{rule(name, hours, prefer, "weekdays: [mon, mon]"), `x.yaml:6: weekday "mon" stands twice`},
		{rule(name, hours, "prefer: [Food, Food]"), `x.yaml:5: category "Food" stands twice`},
		{rule(name, hours, "prefer: Food > > Ramen"), "has an empty level"},
		{rule(name, hours, prefer, "weight: 0"), `x.yaml:6: weight is "0", want a number of 0.001 to 100`},
		{rule(name, hours, prefer, "weight: .nan"), "x.yaml:6: weight is"},
		{rule(name, hours, prefer, `weight: "1"`), "x.yaml:6: weight is"},
		{rule(name, hours, prefer, "share: 0.6"), "come to 1.1, want at most 1"},
		{rule(name, hours, prefer, "place: {south: 1, west: 0, north: 0, east: 1}"), "x.yaml:6: place: south 1 is above north 0"},
		{rule(name, hours, prefer, "place: {lat: 1, lng: 0}"), "x.yaml:6: place has no radius_m"},
		{rule(name, hours, prefer, "place: {lat: 91, lng: 0, radius_m: 5}"), "x.yaml:6: lat is"},
		{rule(name, hours, prefer, "place: {lat: 1, lng: 0, radius_m: 5, south: 1}"), `unknown key "south" in place`},
		{rule(name, hours, prefer, "place: 5"), "x.yaml:6: place must be a section"},
		{rule(name, hours, "prefer: Food > Ramen", "avoid: Food"), `x.yaml:5: rule "a" prefers "Food > Ramen" and avoids it too`},
		{two("name: a\nhours: 11:00-14:00\nprefer: Food\nshare: 0.5", "name: b\nhours: 15:00-16:00\nprefer: Shop"), "leave nothing for 1 rules"},
		{two("name: a\nhours: 11:00-14:00\nprefer: Food", "name: a\nhours: 15:00-16:00\nprefer: Shop"), `x.yaml:6: rule "a" has the name of the rule in line 3`},
		{two("name: a\nhours: 11:00-14:00\nprefer: Food", "name: b\nhours: 13:59-16:00\nprefer: Shop\navoid: Food > Ramen"),
			`x.yaml:5: rule "a" prefers "Food" and rule "b" (line 9) avoids "Food > Ramen", both on sun at 13:59`},
		{two("name: a\nhours: 22:00-02:00\nweekdays: sat\nprefer: Bar\navoid: Food", "name: b\nhours: 01:00-03:00\nweekdays: sun\nprefer: Food > Ramen"),
			`x.yaml:11: rule "b" prefers "Food > Ramen" and rule "a" (line 7) avoids "Food", both on sun at 01:00`},
	} {
		_, err := Parse("x.yaml", []byte(c.text))
		if !errors.Is(err, ErrRules) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q:\n got %v\nwant %s", c.text, err, c.want)
		}
	}
	_, err := Parse("x.yaml", []byte(rule("nam: a", "hours: 1", "prefer: Food", "weight: -1")))
	if err == nil || strings.Count(err.Error(), "x.yaml:") != 4 {
		t.Errorf("not every problem is told at once: %v", err)
	}
}

// What looks like a contradiction and is none.
func TestParseAccepts(t *testing.T) {
	const a = "name: a\n    hours: 11:00-14:00\n    prefer: Food\n"
	for name, second := range map[string]string{
		"later":           "hours: 14:00-16:00\n    prefer: Shop\n    avoid: Food",
		"other weekdays":  "hours: 11:00-14:00\n    weekdays: mon\n    prefer: Shop\n    avoid: Drinks",
		"other category":  "hours: 11:00-14:00\n    prefer: Shop\n    avoid: Foodstuff",
		"both prefer":     "hours: 11:00-14:00\n    prefer: Shop",
		"carves the same": "hours: 11:00-14:00\n    prefer: Food > Ramen\n    avoid: Food > Fast Food",
	} {
		first := a
		if name == "carves the same" {
			first += "    avoid: Food > Fast Food\n"
		}
		if _, err := Parse("x.yaml", []byte("version: 1\nrules:\n  - "+first+"  - name: b\n    "+second)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	far := "    place: {lat: 40, lng: 179.9, radius_m: 5000}\n"
	for place, clash := range map[string]bool{
		"{lat: 40, lng: -179.9, radius_m: 5000}":                    false,
		"{lat: 40, lng: -179.9, radius_m: 20000}":                   true,
		"{south: 39, west: -180, north: 41, east: -170}":            false, // 8.5 km from the circle's centre
		"{south: 39, west: 179.95, north: 41, east: -170}":          true,
		"{south: 39, west: 170, north: 39.9, east: 179.9}":          false,
		"{south: 39, west: 170, north: 39.97, east: 179.9}":         true,
		"{south: -90, west: -180, north: 90, east: 180}":            true,
		"{south: 39.999, west: 179.9, north: 40.001, east: 179.91}": true,
	} {
		text := "version: 1\nrules:\n  - " + a + far + "  - name: b\n    hours: 11:00-14:00\n    prefer: Shop\n    avoid: Food\n    place: " + place
		if _, err := Parse("x.yaml", []byte(text)); (err != nil) != clash {
			t.Errorf("%s: %v, want a contradiction: %v", place, err, clash)
		}
	}
}

func TestRuleHolds(t *testing.T) {
	r, err := Parse("x.yaml", []byte(rule("name: late", `hours: ["22:00-02:00", "12:00-12:30"]`, "weekdays: [fri, sat]", "prefer: Bar",
		"place: {south: 40, west: 179, north: 41, east: -179}")))
	if err != nil {
		t.Fatal(err)
	}
	late := &r.Rules[0]
	for _, c := range []struct {
		local string
		want  bool
	}{
		{"2024-05-03 22:00", true}, {"2024-05-03 21:59", false}, // Friday
		{"2024-05-04 01:59", true}, {"2024-05-04 02:00", false}, // Friday's window ends on Saturday
		{"2024-05-05 01:00", true}, {"2024-05-05 22:00", false}, // Saturday's ends on Sunday, across the week's end
		{"2024-05-03 01:00", false}, // Thursday's night
		{"2024-05-03 12:29", true}, {"2024-05-03 12:30", false},
	} {
		at, err := time.Parse("2006-01-02 15:04", c.local)
		if err != nil {
			t.Fatal(err)
		}
		const offset = -300
		ms := at.UnixMilli() - offset*60_000
		for _, p := range []struct {
			lat, lng float64
			has      bool
			in       bool
		}{{40.5, 179.5, true, true}, {40.5, -180, true, true}, {40, -179, true, true}, {40.5, 178, true, false}, {41.1, 180, true, false}, {40.5, 179.5, false, false}} {
			if got := late.At(ms, offset, p.lat, p.lng, p.has); got != (c.want && p.in) {
				t.Errorf("%s at %+v: %v", c.local, p, got)
			}
		}
	}
	if r.Rules[0].Share != 0.5 || r.NearM != DefaultNearM || late.Hours[0].String() != "22:00-02:00" {
		t.Errorf("%+v", r)
	}
}

func TestPrefixesAreLevels(t *testing.T) {
	r := Rule{Prefer: []string{"Food"}, Avoid: []string{"Food > Fast Food"}}
	for category, want := range map[string]bool{"Food": true, "Food > Ramen": true, "Food > Fast Food": false, "Food > Fast Food > Burger": false, "Food > Fast Foods": true, "Foodstuff": false, "": false} {
		if r.Prefers(category) != want {
			t.Errorf("%q: %v", category, !want)
		}
	}
}

func TestCheckAgainstCatalogue(t *testing.T) {
	d := testkit.Toy(1, 1, 10)
	check := func(keys ...string) error {
		r, err := Parse("x.yaml", []byte(rule(append([]string{"name: a", "hours: 11:00-14:00"}, keys...)...)))
		if err != nil {
			t.Fatal(err)
		}
		return r.Check(d.Places)
	}
	if err := check("prefer: [Food, Work>Office]", "avoid: Home", "place: {lat: 40.7, lng: -74, radius_m: 30000}"); err != nil {
		t.Error(err)
	}
	for want, err := range map[string]error{
		`x.yaml:5: rule "a": no open place has the category "Leisur > Gym"; nearest is "Leisure > Gym"`: check("prefer: Leisur > Gym"),
		`x.yaml:6: rule "a": no open place has the category "Foo"; nearest is "Food"`:                   check("prefer: Food", "avoid: Foo"),
		`no open place lies in its area`: check("prefer: Food", "place: {lat: -74, lng: 40.7, radius_m: 30000}"),
	} {
		if !errors.Is(err, ErrRules) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	for i := range d.Places {
		d.Places[i].Closed = d.Places[i].Category == "Leisure > Gym"
	}
	if err := check("prefer: Leisure"); !errors.Is(err, ErrRules) {
		t.Errorf("only closed places: %v", err)
	}
}

// The example of the documentation is a rule file.
func TestDocumentedExample(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(testkit.ModuleRoot(t), "docs", "format", "rules.md"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(doc), "```yaml\n")
	example, _, _ := strings.Cut(rest, "```")
	path := testkit.WriteFile(t, "rules.yaml", example)
	r, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rules) != 2 || r.Rules[1].Share < 0.0999 || r.Rules[1].Share > 0.1001 || r.Rules[1].Area.Metres != 1500 || r.Rules[1].Weight != 2 {
		t.Errorf("%+v", r.Rules)
	}
	if _, err := Load(path + ".none"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
	if _, err := Parse("x", make([]byte, MaxRuleFile+1)); !errors.Is(err, ErrRules) {
		t.Errorf("large file: %v", err)
	}
}

// The minutes of a window are those of a walk through the week.
func TestMinutesLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := Window{rapid.IntRange(0, minutesOfDay-1).Draw(t, "from"), rapid.IntRange(0, minutesOfDay).Draw(t, "to")}
		day := rapid.IntRange(0, 6).Draw(t, "day")
		if w.From == w.To {
			return
		}
		r := Rule{Hours: []Window{w}, Weekdays: []time.Weekday{time.Weekday(day)}}
		r.setMinutes()
		start := time.Date(2024, 5, 5+day, 0, w.From, 0, 0, time.UTC) // 5 May 2024 is a Sunday
		end := time.Date(2024, 5, 5+day, 0, w.To, 0, 0, time.UTC)
		if !end.After(start) {
			end = end.AddDate(0, 0, 1)
		}
		for at := time.Date(2024, 5, 5+day, 0, 0, 0, 0, time.UTC); at.Before(time.Date(2024, 5, 12+day, 0, 0, 0, 0, time.UTC)); at = at.Add(13 * time.Minute) {
			if got, want := r.At(at.UnixMilli(), 0, 0, 0, false), !at.Before(start) && at.Before(end); got != want {
				t.Fatalf("%s on %s: %v at %s", w, time.Weekday(day), got, at)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(mealRules))
	f.Add([]byte(rule("name: a", "hours: [22:00-02:00]", "prefer: &x [A]", "avoid: *x", "place: {lat: 1, lng: 2, radius_m: 3}")))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := Parse("fuzz.yaml", text)
		if err != nil {
			if !errors.Is(err, ErrRules) {
				t.Fatal(err)
			}
			return
		}
		total := r.AnchorShare
		for i := range r.Rules {
			if rule := &r.Rules[i]; len(rule.Hours) == 0 || len(rule.Prefer) == 0 || rule.Name == "" || rule.Share <= 0 || rule.Weight <= 0 || rule.meets(rule) < 0 {
				t.Fatalf("accepted %+v", rule)
			}
			total += r.Rules[i].Share
		}
		if total > 1+1e-6 || r.Check([]poi.Place{}) == nil {
			t.Fatalf("shares of %v, or fits an empty catalogue", total)
		}
	})
}
