package split

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/poi"
)

// day0 is midnight UTC of the example in docs/protocols.md.
var day0 = time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC)

// checkin is one row "user place day hour", the first day being 1, at UTC-5.
func checkin(user, place string, day, hour int) poi.Action {
	at := day0.AddDate(0, 0, day-1).Add(time.Duration(hour+5) * time.Hour)
	return poi.Action{User: user, POI: place, Category: "Food", Lat: 40, Lng: -74, TimeMS: at.UnixMilli(), OffsetMin: -300, Type: "checkin"}
}

// example is the worked example of docs/protocols.md: 14 check-ins, cut after
// the 8th and the 11th.
func example() ([]poi.Action, Config) {
	rows := []poi.Action{
		checkin("u", "a", 1, 8), checkin("u", "b", 1, 12), checkin("u", "a", 1, 18),
		checkin("w", "a", 1, 9), checkin("w", "b", 1, 10),
		checkin("u", "a", 5, 8), checkin("u", "c", 5, 12), checkin("u", "b", 5, 18),
		checkin("u", "a", 9, 8), checkin("u", "b", 9, 12), checkin("u", "b", 9, 18),
		checkin("u", "a", 10, 8), checkin("u", "d", 10, 12), checkin("u", "b", 10, 18),
	}
	for i := range rows {
		rows[i].Seq = int64(i)
	}
	cfg := Default()
	cfg.MinPOI, cfg.MinUser, cfg.TrainPercent, cfg.ValidationPercent = 1, 2, 60, 20
	return rows, cfg
}

func TestProtocolsByHand(t *testing.T) {
	for _, c := range []struct {
		protocol         string
		validation, test []int32 // positions in u's sequence, from 0
	}{
		{LastOfTrajectory, nil, []int32{11}},
		{EveryCheckin, []int32{7, 8}, []int32{9, 11}},
		{LastOfUser, []int32{8}, []int32{11}},
	} {
		t.Run(c.protocol, func(t *testing.T) {
			rows, cfg := example()
			cfg.Protocol = c.protocol
			d, card, err := Build(rows, cfg)
			if err != nil {
				t.Fatal(err)
			}
			for tag, want := range [][]int32{{1, 2, 4, 5}, c.validation, c.test} {
				var got []int32
				for _, target := range d.Targets[tag] {
					got = append(got, target.Pos)
				}
				if !slices.Equal(got, want) {
					t.Errorf("%v targets %v, want %v", poi.Tag(tag), got, want)
				}
			}
			// w's two check-ins are too short a trajectory; they leave the set.
			if card.Checkins != 12 || card.Users != 1 || card.Trajectories != 3 || card.Tags != (ByPart{6, 3, 3}) {
				t.Errorf("card %+v", card)
			}
			// Training visits: a 3, b 2, c 1, d 0.
			var ids string
			for _, p := range d.Places {
				ids += p.ID
			}
			if ids != "abcd" {
				t.Errorf("places in order %q, want abcd", ids)
			}
		})
	}
}

func TestCardByHand(t *testing.T) {
	rows, cfg := example()
	rows = append(rows, rows[0]) // a duplicate check-in, kept
	d, card, err := Build(rows, cfg)
	if err != nil {
		t.Fatal(err)
	}
	// n=15, cut after 9 and 12: u is a a b a | a c b | a: the trajectory of day 9
	// spans the parts. Validation and test are as in the table of positions.
	if card.Duplicates != 1 || card.Checkins != 13 || len(d.Users[0].Visits) != 13 {
		t.Errorf("duplicates %d, check-ins %d, want 1 and 13", card.Duplicates, card.Checkins)
	}
	if card.Targets != (ByPart{5, 0, 1}) || card.ReturnShare != (Shares{Train: 0.6, Test: 1}) {
		t.Errorf("targets %+v, return shares %+v", card.Targets, card.ReturnShare)
	}
	if card.RepeatShare != 9.0/13 || card.Sparsity != 0 {
		t.Errorf("repeat share %v, sparsity %v, want 9/13 and 0", card.RepeatShare, card.Sparsity)
	}
	if card.TrajectoryLength != (Spread{3, 3, 4, 6, 6, 6, 13.0 / 3}) {
		t.Errorf("trajectory lengths %+v", card.TrajectoryLength)
	}
	if card.Hours[8] != 5 || card.Hours[12] != 4 || card.Hours[18] != 4 || card.Hours[13] != 0 {
		t.Errorf("local hours %v", card.Hours)
	}
	if card.Span != (Span{"2024-05-01T08:00:00", "2024-05-10T18:00:00", 9 + 10.0/24}) {
		t.Errorf("span %+v", card.Span)
	}
}

func TestCardRenders(t *testing.T) {
	rows, cfg := example()
	_, card, err := Build(rows, cfg)
	if err != nil {
		t.Fatal(err)
	}
	card.Name = "example.tsv"
	card.SetRejects(3, map[string]int{"file is cut": 1, "bad time": 2})
	var b bytes.Buffer
	if err := card.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"example.tsv, protocol last-of-trajectory\n", "users with >= 2 check-ins",
		"rejected while reading: 3 (bad time 2, file is cut 1)", "██", "00 01 02", "2024-05-01T08:00:00", "coarse data", card.Fingerprint} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("the text lacks %q:\n%s", want, b.String())
		}
	}
	js, err := json.Marshal(card)
	if err != nil {
		t.Fatal(err)
	}
	var back struct {
		Checkins, Users, POIs, Trajectories, Rejected int
		Targets                                       map[string]int
	}
	if err := json.Unmarshal(js, &back); err != nil {
		t.Fatal(err)
	}
	if back.Checkins != 12 || back.Users != 1 || back.POIs != 4 || back.Trajectories != 3 || back.Rejected != 3 ||
		back.Targets["train"] != 4 || back.Targets["validation"] != 0 || back.Targets["test"] != 1 {
		t.Errorf("JSON gives %+v from %s", back, js)
	}
}

func TestBuildFails(t *testing.T) {
	many := func(n int, f func(i int) poi.Action) []poi.Action {
		out := make([]poi.Action, n)
		for i := range out {
			out[i] = f(i)
		}
		return out
	}
	for _, c := range []struct {
		name    string
		actions []poi.Action
		edit    func(*Config)
		want    error
		says    string
	}{
		{"no actions", nil, nil, poi.ErrEmpty, "no actions"},
		{"unknown protocol", nil, func(c *Config) { c.Protocol = "last" }, poi.ErrBadInput, `"last"`},
		{"bad share", nil, func(c *Config) { c.TrainPercent = 95 }, poi.ErrBadInput, "95"},
		{"bad gap", nil, func(c *Config) { c.GapHours = 0 }, poi.ErrBadInput, "gap_hours"},
		{"bad trajectory", nil, func(c *Config) { c.MinTrajectory = 1 }, poi.ErrBadInput, "min_trajectory"},
		{"bad minimum", nil, func(c *Config) { c.MinUser = 0 }, poi.ErrBadInput, "min_user"},
		{"bad cleaning", nil, func(c *Config) { c.Clean.MinRichness = 2 }, poi.ErrBadInput, "min_richness"},
		{"one check-in", []poi.Action{checkin("u", "a", 1, 8)}, nil, poi.ErrEmpty, "min_poi"},
		{"one check-in, no filter", []poi.Action{checkin("u", "a", 1, 8)},
			func(c *Config) { c.MinPOI, c.MinUser = 1, 1 }, poi.ErrEmpty, "none to train on"},
		{"users with one check-in", many(20, func(i int) poi.Action { return checkin(fmt.Sprint(i), "a", 1, 8) }), nil, poi.ErrEmpty, "min_user"},
		{"trajectories of one", many(20, func(i int) poi.Action { return checkin("u", "a", 1+2*i, 8) }), nil, poi.ErrEmpty, "min_trajectory"},
		{"no richness", many(20, func(i int) poi.Action { return checkin("u", "a", 1, i) }),
			func(c *Config) { c.Clean.MinRichness = 0.3 }, poi.ErrEmpty, "min_richness"},
		{"all functional", many(20, func(i int) poi.Action { return checkin("u", "a", 1, i) }),
			func(c *Config) { c.Clean.FunctionalCategories = []string{"Food"} }, poi.ErrEmpty, "no train targets"},
		{"too many types", many(300, func(i int) poi.Action {
			a := checkin("u", "a", 1, i%24)
			a.Type = fmt.Sprint(i)
			return a
		}), nil, poi.ErrBadInput, "300 action types"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := Default()
			if c.edit != nil {
				c.edit(&cfg)
			}
			_, _, err := Build(c.actions, cfg)
			if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v, want %v saying %q", err, c.want, c.says)
			}
		})
	}
}

func TestRichnessStep(t *testing.T) {
	var rows []poi.Action
	for i := range 20 {
		rows = append(rows, checkin("poor", "a", 1, i), checkin("rich", string(rune('a'+i)), 1, i))
	}
	cfg := Default()
	cfg.MinPOI, cfg.Clean.MinRichness = 1, 0.3
	d, card, err := Build(rows, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if len(d.Users) != 1 || d.Users[0].ID != "rich" {
		t.Errorf("users %+v, want the rich one alone", d.Users)
	}
	last := card.Steps[len(card.Steps)-1]
	if last != (Step{"users with richness >= 0.3", 20, 1, 20, 20}) || card.Clean.Steps[2].Actions != 20 {
		t.Errorf("steps %+v, cleansing %+v", last, card.Clean.Steps)
	}
}

// The first row of a POI in order of Seq gives its place; what it leaves empty
// comes from a later one.
func TestPlaceFromFirstRow(t *testing.T) {
	rows, cfg := example()
	for i := range rows {
		rows[i].Name = fmt.Sprint("name ", i)
	}
	rows[0].Name, rows[2].Lat = "", 50
	d, _, err := Build(rows, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if p := d.Places[0]; p.ID != "a" || p.Lat != 40 || p.Name != "name 2" {
		t.Errorf("got %+v", p)
	}
}

// drawLog is a random log of a few users and places, in random order.
func drawLog(t *rapid.T) []poi.Action {
	one := rapid.Custom(func(t *rapid.T) poi.Action {
		a := checkin(fmt.Sprint("u", rapid.IntRange(0, 3).Draw(t, "user")), fmt.Sprint("p", rapid.IntRange(0, 5).Draw(t, "poi")),
			rapid.IntRange(1, 20).Draw(t, "day"), rapid.IntRange(0, 23).Draw(t, "hour"))
		a.OffsetMin = rapid.SampledFrom([]int16{-300, 0, 345}).Draw(t, "offset")
		a.Type = rapid.SampledFrom([]string{"search", "click", "checkin"}).Draw(t, "type")
		return a
	})
	out := rapid.SliceOfN(one, 40, 120).Draw(t, "log")
	for i := range out {
		out[i].Seq = int64(i)
	}
	return out
}

func drawConfig(t *rapid.T) Config {
	cfg := Default()
	cfg.Protocol = rapid.SampledFrom(Protocols()).Draw(t, "protocol")
	cfg.MinPOI, cfg.MinUser = rapid.IntRange(1, 8).Draw(t, "min poi"), rapid.IntRange(1, 8).Draw(t, "min user")
	cfg.TrainPercent, cfg.ValidationPercent = rapid.IntRange(40, 80).Draw(t, "train"), rapid.IntRange(0, 20).Draw(t, "validation")
	cfg.GapHours, cfg.MinTrajectory = rapid.IntRange(6, 30).Draw(t, "gap"), rapid.IntRange(2, 3).Draw(t, "min trajectory")
	return cfg
}

// Nothing of the future is in the past, and nothing is asked that training
// cannot know.
func TestNoLeak(t *testing.T) {
	built := 0
	rapid.Check(t, func(t *rapid.T) {
		d, card, err := Build(drawLog(t), drawConfig(t))
		if errors.Is(err, poi.ErrEmpty) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		built++
		latest, earliest := [3]int64{}, [3]int64{1 << 62, 1 << 62, 1 << 62}
		for _, u := range d.Users {
			for i, v := range u.Visits {
				ms := v.Local().UnixMilli()
				latest[v.Tag], earliest[v.Tag] = max(latest[v.Tag], ms), min(earliest[v.Tag], ms)
				if i > 0 && (ms < u.Visits[i-1].Local().UnixMilli() || v.Traj < u.Visits[i-1].Traj || v.Traj > u.Visits[i-1].Traj+1) {
					t.Fatalf("visit %d of %s is out of order", i, u.ID)
				}
			}
		}
		if latest[poi.Train] > min(earliest[poi.Validation], earliest[poi.Test]) || latest[poi.Validation] > earliest[poi.Test] {
			t.Fatalf("parts overlap: latest %v, earliest %v", latest, earliest)
		}
		checkTargets(t, d)
		if n := card.Tags; n.Train+n.Validation+n.Test != card.Checkins || card.Steps[len(card.Steps)-1].Checkins != card.Checkins {
			t.Fatalf("the card does not add up: %+v", card)
		}
	})
	if built < 50 {
		t.Errorf("only %d of the random logs gave a data set: the property says little", built)
	}
}

func checkTargets(t *rapid.T, d *poi.Dataset) {
	users, pois := map[int32]bool{}, map[int32]bool{}
	for _, g := range d.Targets[poi.Train] {
		users[g.User], pois[d.Label(g)] = true, true
	}
	for tag := range d.Targets {
		for _, g := range d.Targets[tag] {
			if got := d.Users[g.User].Visits[g.Pos].Tag; int(got) != tag {
				t.Fatalf("target %v of %v lies in %v", g, poi.Tag(tag), got)
			}
			if !users[g.User] || !pois[d.Label(g)] {
				t.Fatalf("user or POI of target %v is not among the train targets", g)
			}
		}
	}
}

// The order of the slice does not matter, only Seq does; and Build does not
// change its input.
func TestOrderDoesNotMatter(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows, cfg := drawLog(t), drawConfig(t)
		shuffled := slices.Clone(rows)
		rng := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		before := slices.Clone(shuffled)
		a, _, errA := Build(rows, cfg)
		b, _, errB := Build(shuffled, cfg)
		if (errA == nil) != (errB == nil) || errA == nil && a.Fingerprint != b.Fingerprint {
			t.Fatalf("the order of rows changed the data set: %v, %v", errA, errB)
		}
		if !slices.Equal(before, shuffled) {
			t.Fatal("Build changed its input")
		}
	})
}

// Every field of the data set but its name moves the fingerprint.
func TestFingerprint(t *testing.T) {
	rows, cfg := example()
	fresh := func() *poi.Dataset {
		d, _, err := Build(rows, cfg)
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := fresh()
	d.Name = "other"
	if Fingerprint(d) != d.Fingerprint || len(d.Fingerprint) != 64 {
		t.Errorf("the name changed the fingerprint %q", d.Fingerprint)
	}
	for name, edit := range map[string]func(*poi.Dataset){
		"protocol":    func(d *poi.Dataset) { d.Protocol = EveryCheckin },
		"place id":    func(d *poi.Dataset) { d.Places[0].ID = "z" },
		"place name":  func(d *poi.Dataset) { d.Places[0].Name = "z" },
		"category":    func(d *poi.Dataset) { d.Places[0].Category = "z" },
		"latitude":    func(d *poi.Dataset) { d.Places[0].Lat += 1e-9 },
		"longitude":   func(d *poi.Dataset) { d.Places[0].Lng += 1e-9 },
		"closed":      func(d *poi.Dataset) { d.Places[0].Closed = true },
		"type":        func(d *poi.Dataset) { d.Types[0] = "z" },
		"user":        func(d *poi.Dataset) { d.Users[0].ID = "z" },
		"tags":        func(d *poi.Dataset) { d.Users[0].Profile.Tags = []string{""} },
		"visit poi":   func(d *poi.Dataset) { d.Users[0].Visits[0].POI = 1 },
		"visit traj":  func(d *poi.Dataset) { d.Users[0].Visits[0].Traj = -1 },
		"time":        func(d *poi.Dataset) { d.Users[0].Visits[0].TimeMS++ },
		"offset":      func(d *poi.Dataset) { d.Users[0].Visits[0].OffsetMin = 5 },
		"visit type":  func(d *poi.Dataset) { d.Users[0].Visits[0].Type = 1 },
		"status":      func(d *poi.Dataset) { d.Users[0].Visits[0].Status = poi.InTravel },
		"intent":      func(d *poi.Dataset) { d.Users[0].Visits[0].Intent = false },
		"has user":    func(d *poi.Dataset) { d.Users[0].Visits[0].HasUser = true },
		"tag":         func(d *poi.Dataset) { d.Users[0].Visits[0].Tag = poi.Test },
		"user lat":    func(d *poi.Dataset) { d.Users[0].Visits[0].UserLat = 1 },
		"user lng":    func(d *poi.Dataset) { d.Users[0].Visits[0].UserLng = 1 },
		"target":      func(d *poi.Dataset) { d.Targets[0][0].Pos = 3 },
		"target part": func(d *poi.Dataset) { d.Targets[1], d.Targets[2] = d.Targets[2], d.Targets[1] },
	} {
		d := fresh()
		edit(d)
		if Fingerprint(d) == d.Fingerprint {
			t.Errorf("%s does not move the fingerprint", name)
		}
	}
}
