package atlas

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"image"
	"image/png"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// pageOf writes the page and checks what holds for every page.
func pageOf(t testing.TB, in Input) string {
	t.Helper()
	var b bytes.Buffer
	must(t, Write(&b, in))
	testkit.Page(t, b.String())
	return b.String()
}

func wantAll(t testing.TB, page string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(page, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
}

// noon is 12:00 UTC of Wednesday 2024-05-08.
var noon = time.Date(2024, 5, 8, 12, 0, 0, 0, time.UTC).UnixMilli()

func stay(user, place, name, category string, hours float64, kind string) poi.Action {
	n := float64(len(name) % 7)
	return poi.Action{User: user, POI: place, Name: name, Category: category, Lat: 45 + n/200, Lng: 5 + n/300,
		TimeMS: noon + int64(hours*3600_000), Type: kind}
}

// small is a log of two people with one impression.
func small(t testing.TB, name string) Input {
	t.Helper()
	g := NewGather("small town")
	must(t, g.Person(poi.Profile{Occupation: "baker", AgeBand: "25-34"}, []string{"quiet", "terrace"}, []poi.Action{
		stay("u", "a", name, "Food > Bakery", 0, "arrive"), stay("u", "b", "Park", "Outdoors > Park", 1, "arrive"),
		stay("u", "c", "Museum", "Arts > Museum", 2.5, "search"), stay("u", "a", name, "Food > Bakery", 3, "navigate"),
		stay("u", "b", "Park", "Outdoors > Park", 4, "arrive"), stay("u", "a", name, "Food > Bakery", 30, "arrive"),
	}))
	must(t, g.Person(poi.Profile{}, nil, []poi.Action{stay("v", "a", name, "Food > Bakery", 2, "arrive")}))
	g.Impression(&poi.Impression{ID: "r", User: "u", TimeMS: noon, Shown: []poi.Shown{
		{POI: "a", Clicked: true, Click: .5, Relevance: .5}, {POI: "b", Click: .25, Relevance: .5}, {POI: "c", Click: .125, Relevance: .75}}})
	in, err := g.Input()
	must(t, err)
	in.Places = []poi.Place{{ID: "a", Name: name, Category: "Food > Bakery", Lat: 45, Lng: 5}, {ID: "b", Category: "Outdoors > Park", Lat: 45.01, Lng: 5.01}}
	in.Cards = []Card{{Place: in.Places[0], Details: poi.Details{Address: "1 Fox Street, Mill Row, Owlton", Tags: []string{"cosy"}, Reviews: []string{"Warm bread.", "Good <b>tea</b>.", "Third"}, Image: picture(t)},
		Attributes: []string{"quiet"}, Stays: g.Stays("a")}}
	return in
}

func picture(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 4, 4))))
	return b.Bytes()
}

func TestPageShowsTheNumbers(t *testing.T) {
	in := small(t, "The Loaf")
	page := pageOf(t, in)
	wantAll(t, page, "<h1>small town</h1>", "default-src 'none'; img-src data:;",
		`<span class="name">people</span><span class="value">2</span>`,
		`<span class="name">stays</span><span class="value">6</span>`, "in 1.25 days",
		`<span class="value">75 %</span><span class="below">of stays`, // a, b, a of four later stays
		"arrive 5, navigate 1, search 1", "baker, 25-34", "likes quiet and terrace", "Wed 2024-05-08", "14:30", "looked up",
		"The Loaf", "Food &gt; Bakery; 4 stays", "1 Fox Street, Mill Row, Owlton", "<li>cosy</li>", "Warm bread.", "Good &lt;b&gt;tea&lt;/b&gt;.",
		"Hidden truth: <strong>quiet</strong>", "data:image/png;base64,"+base64.StdEncoding.EncodeToString(picture(t)),
		`<span class="name">requests</span><span class="value">1</span>`, `<span class="name">click rate</span><span class="value">33.3 %</span>`,
		"1 clicks on 3 places", `<span class="name">best possible AUC</span><span class="value">1</span><span class="below">0.25 without the position`)
	if strings.Contains(page, "Third") {
		t.Error("a third review is shown")
	}
	if strings.Contains(page, "The dashed line") || strings.Contains(page, "week2") {
		t.Error("a reference is drawn that nobody gave")
	}
}

func TestPageIsTheSameTwice(t *testing.T) {
	if pageOf(t, small(t, "x")) != pageOf(t, small(t, "x")) {
		t.Error("two pages of one input differ")
	}
}

// Text of a log reaches the page as text, wherever it stands.
func TestEscaping(t *testing.T) {
	evil := `"><script>alert(1)</script>`
	in := small(t, evil)
	in.Title, in.Laws.Name = evil, evil
	in.Facts = append(in.Facts, Fact{evil, evil})
	in.Towns = []Town{{Name: evil, Lat: 45, Lng: 5, RadiusKM: 5, Places: 2}, {Name: evil, Lat: 46, Lng: 5, RadiusKM: 1}}
	in.Quarters = []Quarter{{Name: evil, Lat: 45, Lng: 5}}
	in.Days[0].Who, in.Days[0].Likes, in.Days[0].Steps[0].Type = evil, []string{evil}, evil
	in.Days[0].Steps[1].Type = "search"
	c := &in.Cards[0]
	c.Place.Category, c.Details.Address, c.Details.Tags, c.Details.Reviews, c.Attributes = evil, evil, []string{evil}, []string{evil}, []string{evil}
	c.Details.Image = []byte(evil)
	in.Laws.Mix[evil] = [24]int64{12: 9}
	reference := small(t, "x").Laws
	reference.Name = evil
	in.Reference = reference
	page := pageOf(t, in)
	if strings.Contains(page, "<script>alert") || strings.Contains(page, `"><script`) {
		t.Error("a name became markup")
	}
	if n := strings.Count(page, "<script>"); n != 1 {
		t.Errorf("%d scripts on the page, want its own only", n)
	}
	if strings.Contains(page, "<img") {
		t.Error("a text became an image")
	}
	wantAll(t, page, "&lt;script&gt;alert(1)&lt;/script&gt;")
}

// What is missing is told.
func TestPageOfALogOnly(t *testing.T) {
	in := small(t, "x")
	in.Feed, in.Cards, in.Days, in.Places, in.Spots, in.Facts = Feed{}, nil, nil, nil, nil, nil
	page := pageOf(t, in)
	wantAll(t, page, "There are no impressions.", "Details of places are not known.", "there is no map", "Nobody has a day")
	if strings.Contains(page, `id="positions"`) || strings.Contains(page, `id="part1"`) {
		t.Error("a figure of nothing was drawn")
	}
}

func TestReferenceIsASecondCurve(t *testing.T) {
	in := small(t, "x")
	in.Reference = small(t, "y").Laws
	in.Reference.Name = "the other"
	page := pageOf(t, in)
	wantAll(t, page, "The dashed line is the reference, the other.", `id="week2"`, "The week of the other", `class="line s2 dash1"`, "Beside the other",
		"laws with a bound agree", "<td>return share</td><td>0.75</td><td>0.75</td>")
}

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		name string
		edit func(*Input)
		says string
	}{
		{"no laws", func(in *Input) { in.Laws = nil }, "no laws"},
		{"towns", func(in *Input) { in.Towns = make([]Town, MaxTowns+1) }, "13 towns"},
		{"cards", func(in *Input) { in.Cards = make([]Card, MaxCards+1) }, "25 cards"},
		{"place", func(in *Input) { in.Places[1].Lat = 91 }, `place "b"`},
		{"town", func(in *Input) { in.Towns = []Town{{Name: "far", Lng: 181}} }, `town "far"`},
		{"quarter", func(in *Input) { in.Quarters = []Quarter{{Lat: math.NaN()}} }, "neighbourhood"},
		{"spot", func(in *Input) { in.Spots[0].Lng = math.Inf(1) }, "spot"},
		{"step", func(in *Input) { in.Days[0].Steps[0].Minute = 1440 }, "minute 1440"},
	} {
		in := small(t, "x")
		c.edit(&in)
		var b bytes.Buffer
		if err := Write(&b, in); !errors.Is(err, poi.ErrBadInput) || !strings.Contains(err.Error(), c.says) || b.Len() > 0 {
			t.Errorf("%s: error %v after %d bytes, want one saying %q", c.name, err, b.Len(), c.says)
		}
	}
	if err := Write(broken{}, small(t, "x")); err == nil {
		t.Error("a broken writer went unnoticed")
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// The longest day within the limits is shown, and no day of too many actions.
func TestTheFullestDay(t *testing.T) {
	g := NewGather("x")
	var log []poi.Action
	for i := range 5 {
		log = append(log, stay("u", "p", "p", "Food", float64(i), "arrive"))
	}
	for i := range 30 {
		log = append(log, stay("u", "p", "p", "Food", 48+float64(i)/10, "arrive"))
	}
	must(t, g.Person(poi.Profile{Occupation: "clerk", AgeBand: "25-34"}, nil, log))
	in, err := g.Input()
	must(t, err)
	if len(in.Days) != 1 || in.Days[0].Date != "Wed 2024-05-08" || len(in.Days[0].Steps) != 5 || in.Days[0].Steps[1].Minute != 13*60 {
		t.Errorf("days %+v", in.Days)
	}
}

func TestGatherFails(t *testing.T) {
	g := NewGather("x")
	bad := stay("u", "p", "p", "Food", 0, "arrive")
	bad.Lat = 95
	if err := g.Person(poi.Profile{}, nil, []poi.Action{bad}); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("off the Earth: %v", err)
	}
	if _, err := g.Input(); !errors.Is(err, poi.ErrEmpty) {
		t.Errorf("nobody: %v", err)
	}
}

func TestDataURL(t *testing.T) {
	if got := dataURL(picture(t)); !strings.HasPrefix(string(got), "data:image/png;base64,") {
		t.Errorf("%.40s", got)
	}
	for _, bad := range [][]byte{nil, []byte("<svg onload=alert(1)>"), []byte("GIF89a"), append(picture(t), make([]byte, maxImage)...)} {
		if got := dataURL(bad); got != "" {
			t.Errorf("%.20q gave %.40s", bad, got)
		}
	}
}

// A small city fills every part of the page.
func TestCity(t *testing.T) {
	cfg := city.DefaultConfig()
	cfg.Users, cfg.POIs, cfg.Days, cfg.Impressions = 60, 400, 21, 4
	c, err := city.New(cfg)
	must(t, err)
	in, err := OfCity(t.Context(), "city-1", c, []Fact{{"seed", "1"}}, nil)
	must(t, err)
	page := pageOf(t, in)
	wantAll(t, page, "city-1", "<dt>seed</dt><dd>1</dd>", `id="town1"`, `id="overview"`, `id="town2"`, `id="part4"`, `id="week"`, `id="mix"`, `id="trips"`)
	if in.Laws.People != 60 || len(in.Places) != 400 || len(in.Days) == 0 || len(in.Cards) != shownCards || len(in.Towns) != 2 {
		t.Errorf("%d people, %d places, %d days, %d cards, %d towns", in.Laws.People, len(in.Places), len(in.Days), len(in.Cards), len(in.Towns))
	}
	if in.Feed.Requests > 0 {
		wantAll(t, page, `id="positions"`, "best possible AUC")
	}
	total := 0
	for _, s := range in.Spots {
		for _, n := range s.Stays {
			total += n
		}
	}
	if int64(total) != in.Laws.Stays {
		t.Errorf("spots have %d stays, the laws %d", total, in.Laws.Stays)
	}

	if in.Laws.ReturnShare < .3 || in.Laws.ReturnShare > .95 {
		t.Errorf("return share %v", in.Laws.ReturnShare)
	}
}

func TestSample(t *testing.T) {
	places := make([]poi.Place, 10)
	for i := range places {
		places[i].ID = fmt.Sprint(i)
	}
	var got []string
	for _, p := range Sample(places, 4) {
		got = append(got, p.ID)
	}
	if want := []string{"0", "2", "5", "7"}; !slices.Equal(got, want) || len(Sample(places, 10)) != 10 {
		t.Errorf("sample %v, want %v", got, want)
	}
}
