package casebook

import (
	"bytes"
	"encoding/base64"
	"errors"
	"image"
	"image/png"
	"math"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/sheet"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func pageOf(t testing.TB, p Page) string {
	t.Helper()
	var b bytes.Buffer
	must(t, Write(&b, p))
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

func picture(t testing.TB) []byte {
	t.Helper()
	var b bytes.Buffer
	must(t, png.Encode(&b, image.NewGray(image.Rect(0, 0, 4, 4))))
	return b.Bytes()
}

// noon is 12:00 UTC of Wednesday 2024-05-08.
var noon = time.Date(2024, 5, 8, 12, 0, 0, 0, time.UTC).UnixMilli()

func place(id, name, category string, lat float64) poi.Place {
	return poi.Place{ID: id, Name: name, Category: category, Lat: lat, Lng: 5}
}

// spring is the paper's case: a restaurant with a hot spring for somebody who likes
// hot springs.
func spring(t testing.TB) Page {
	house := place("p1", "The Old Mill", "Food > Japanese", 45)
	return Page{Title: "A case", Facts: []Fact{{"run", "runs/rank-s1"}}, Cases: []Case{{
		Request: "r7-1", Who: "student, 18-24", Likes: []string{"hot spring", "quiet"}, TimeMS: noon, OffsetMin: 120,
		HasUser: true, Lat: 45.009, Lng: 5, Run: "city-rank", Against: "popularity",
		Options: []Option{
			{Place: place("p2", "Diner", "Food > Burger", 45.01), Score: .25, Other: 40, Click: .125, Relevance: .5},
			{Place: house, Clicked: true, Score: .75, Other: 3, Click: .5, Relevance: .625},
			{Place: place("p3", "", "Food > Café", 45.02), Score: .5, Other: 7, Click: .25, Relevance: .25},
		},
		Place: house, Attributes: []string{"hot spring", "terrace"}, Logit: math.Log(3), Before: 5,
		Details: poi.Details{Address: "3 Mill Row", Tags: []string{"bath", "wifi"}, Reviews: []string{"We soaked in the hot spring.", "Slow service."}, Image: picture(t)},
		Actions: []Action{
			{Place: place("p9", "Green Baths", "Sport > Baths", 45.001), TimeMS: noon - 48*3_600_000, OffsetMin: 120, Type: "arrive", Delta: .8},
			{Place: place("p2", "Diner", "Food > Burger", 45.01), TimeMS: noon - 24*3_600_000, OffsetMin: 120, Type: "click", Delta: -.4},
			{Place: place("p8", "Far Fort", "Arts > Museum", 46), TimeMS: noon - 3_600_000, OffsetMin: 120, Type: "search", Delta: .00001},
		},
		Parts: []Part{{Review, 0, 1.25}, {Review, 1, -.5}, {Tag, 0, .25}, {Tag, 1, 0}, {Name, -1, .125}, {Address, -1, -.0625}, {Image, -1, .625}, {All, -1, 2.5}},
	}}}
}

func TestPageShowsTheNumbers(t *testing.T) {
	page := pageOf(t, spring(t))
	wantAll(t, page, "<h1>A case</h1>", "default-src 'none'; img-src data:;", "<h2>The Old Mill</h2>", "It was shown and clicked.",
		`<span class="value">75 %</span><span class="below">logit &#43;1.099, by city-rank</span>`,
		`<span class="name">rank by city-rank</span><span class="value">1</span><span class="below">of 3 shown</span>`,
		`<span class="name">rank by popularity</span><span class="value">3</span><span class="below">score 3</span>`,
		`<span class="value">50 %</span><span class="below">where it was shown; 62.5 % had he looked</span>`,
		"student, 18-24", "Wed 2024-05-08, 14:00 local time", "45.0090, 5.0000; 1 km from the place", "3 in the window, 5 older",
		"Burger, 110 m", `<td class="num">12.5 %</td>`, "3 actions over 2 days",
		"Green Baths\nMon 2024-05-06 14:00, arrive\nBaths: &#43;0.800", "<span>&#43;0.800</span><span>\u22120.400</span>",
		`<span class="piece for" style="--ink:100%">We soaked in the hot spring. <b>&#43;1.250</b>`,
		`<span class="piece against" style="--ink:40%">Slow service. <b>`+"\u22120.500", `style="--ink:20%">bath <b>&#43;0.250</b>`,
		`<span class="piece none" style="--ink:0%">wifi <b>0</b>`, `style="--ink:10%">The Old Mill <b>&#43;0.125</b>`, `image <b>&#43;0.625</b>`,
		`All text and image together: <b class="delta for">&#43;2.500</b>`, "data:image/png;base64,"+base64.StdEncoding.EncodeToString(picture(t)),
		`<span class="chip shared">hot spring <b>match</b></span>`, `<span class="chip">terrace</span>`, `<span class="chip">quiet</span>`,
		"Outside this map: 1 of 3 past actions.")
	order := []string{"The Old Mill <span", "p3<small>", "Diner<small>Burger, 110"} // of the candidates, by score
	last := strings.Index(page, "<h3>What was shown")
	for _, s := range order {
		at := strings.Index(page[last:], s)
		if at < 0 {
			t.Fatalf("%q does not follow", s)
		}
		last += at
	}
}

func TestPageIsTheSameTwice(t *testing.T) {
	if pageOf(t, spring(t)) != pageOf(t, spring(t)) {
		t.Error("two pages of one input differ")
	}
}

// Several cases have a list of contents and do not share ids.
func TestSeveralCases(t *testing.T) {
	p := spring(t)
	p.Cases = append(p.Cases, p.Cases[0], p.Cases[0])
	page := pageOf(t, p)
	wantAll(t, page, `<a href="#case3">The Old Mill</a>`, `id="case3"`)
	if strings.Contains(pageOf(t, spring(t)), "<nav>") {
		t.Error("one case has a list of contents")
	}
}

// What is missing is told.
func TestPageOfLittle(t *testing.T) {
	p := Page{Title: "bare", Cases: []Case{{Request: "r1", TimeMS: noon, Run: "city-rank", Place: poi.Place{ID: "p1"}, Logit: 0}}}
	page := pageOf(t, p)
	wantAll(t, page, "<h2>p1</h2>", "It was not shown at this request", "What else was shown is not known.", "Where the person was is not known.",
		"The person had done nothing before this request.", "city-rank sees neither the text nor the image", "There are no reviews of it.", `<span class="value">50 %</span>`)
	for _, absent := range []string{"Hidden truth", "Spoke for it", `class="bars"`, "<img", "All text and image", "rank by"} {
		if strings.Contains(page, absent) {
			t.Errorf("the page of little holds %q", absent)
		}
	}
}

// Somebody who plans a trip is not on the map of where he wants to go.
func TestMapOfATrip(t *testing.T) {
	p := spring(t)
	p.Cases[0].Lat = 48
	wantAll(t, pageOf(t, p), "The person is 334 km away, off this map.")
	near := spring(t)
	m := mapOf(&near.Cases[0])
	// A square of 2.224 km around latitudes 45 to 45.02; the person stands a tenth of
	// its height below the middle.
	if m.User == nil || m.Scale != "500 m" || math.Abs(float64(m.User.X)-210) > .01 || math.Abs(float64(m.User.Y)-228.4) > .01 || math.Abs(float64(m.Place.Y)-394) > .01 {
		t.Errorf("map %+v, person %+v, place %+v", m, m.User, m.Place)
	}
	west, east := around([]spot{{0, 179.99}, {0, -179.99}}), around([]spot{{0, 1}, {0, 1.02}})
	if math.Abs(west.halfKM-east.halfKM) > 1e-6 || math.Abs(math.Abs(west.lng)-180) > 1e-6 {
		t.Errorf("the antimeridian is a border: %+v, elsewhere %+v", west, east)
	}
}

func TestTimeLine(t *testing.T) {
	c := spring(t).Cases[0]
	l := lineOf(&c)
	if len(l.Bars) != 3 || l.Bars[0].Height != 100 || l.Bars[1].Height != 100 || l.Bars[1].Side != "against" || l.Bars[2].Side != "none" || math.Abs(float64(l.Above)-200./3) > .01 {
		t.Errorf("%+v", l)
	}
	c.Actions = c.Actions[:1]
	if l = lineOf(&c); l.Above != 85 || l.Low != "0" || len(l.Marks) != 1 || l.Marks[0].Text != "6 May" || l.Marks[0].At != 0 {
		t.Errorf("one action: %+v", l)
	}
	if c.Actions = nil; lineOf(&c) != nil {
		t.Error("a line of nothing")
	}
}

func TestNumbers(t *testing.T) {
	for x, want := range map[float64]string{.8: "+0.800", -.0625: "\u22120.062", 0: "0", .0004: "0", -.0004: "0", 12.3456: "+12.346"} {
		if got := signed(x); got != want {
			t.Errorf("signed(%v) = %s, want %s", x, got, want)
		}
	}
	for x, want := range map[float64]string{0: "0 m", 87: "87 m", 1499: "1.5 km", 333_585: "334 km"} {
		if got := sheet.Distance(x); got != want {
			t.Errorf("distance(%v) = %s, want %s", x, got, want)
		}
	}
	if got := ranks([]float64{3, 9, 3, 1}); got[0] != 2 || got[1] != 1 || got[2] != 2 || got[3] != 4 {
		t.Errorf("ranks %v", got)
	}
	bar := scaleOf([]float64{-4, -2, -3})
	if bar(-4) != 0 || bar(-2) != 100 || bar(-3) != 50 {
		t.Errorf("bars of log-probabilities: %v and %v", bar(-4), bar(-2))
	}
	if flat := scaleOf([]float64{0, 0}); flat(0) != 0 {
		t.Errorf("bar of nothing: %v", flat(0))
	}
	if got := cut(strings.Repeat("é", maxText+1)); got != strings.Repeat("é", maxText)+" ..." || cut("short") != "short" {
		t.Errorf("cut to %d bytes", len(got))
	}
}

// Text of a log reaches the page as text, wherever it stands.
func TestEscaping(t *testing.T) {
	evil := `"><script>alert(1)</script>`
	p := spring(t)
	p.Title, p.Facts = evil, []Fact{{evil, evil}}
	c := &p.Cases[0]
	c.Request, c.Who, c.Run, c.Against, c.Likes, c.Attributes = evil, evil, evil, evil, []string{evil}, []string{evil}
	c.Place.ID, c.Place.Name, c.Place.Category, c.Options[0].Place.Name, c.Options[0].Place.Category = evil, evil, evil, evil, evil
	c.Actions[0].Place.Name, c.Actions[0].Type, c.Actions[0].Place.Category = evil, evil, evil
	c.Details = poi.Details{Address: evil, Tags: []string{evil, evil}, Reviews: []string{evil, evil}, Image: []byte(evil)}
	c.Parts[0].Kind = evil
	page := pageOf(t, p)
	if strings.Contains(page, "<script>alert") || strings.Contains(page, `"><script`) || strings.Contains(page, "<img") {
		t.Error("a text became markup or an image")
	}
	if n := strings.Count(page, "<script>"); n != 1 {
		t.Errorf("%d scripts on the page, want its own only", n)
	}
	wantAll(t, page, "&lt;script&gt;alert(1)&lt;/script&gt;")
}

func TestRefusals(t *testing.T) {
	for _, x := range []struct {
		edit func(p *Page)
		says string
	}{
		{func(p *Page) { p.Cases = nil }, "0 cases"},
		{func(p *Page) { p.Cases = make([]Case, MaxCases+1) }, "51 cases"},
		{func(p *Page) { p.Cases[0].Logit = math.NaN() }, "logit"},
		{func(p *Page) { p.Cases[0].Lat = 91 }, "position of the person"},
		{func(p *Page) { p.Cases[0].Place.Lat = math.Inf(1) }, `"p1"`},
		{func(p *Page) { p.Cases[0].Before = -1 }, "before the window"},
		{func(p *Page) { p.Cases[0].Options[0].Place.Lng = 181 }, `"p2"`},
		{func(p *Page) { p.Cases[0].Options[0].Score = 1.5 }, "want a probability"},
		{func(p *Page) { p.Cases[0].Options[0].Score = math.NaN() }, "want a probability"},
		{func(p *Page) { p.Cases[0].Options[0].Other = math.Inf(-1) }, "second score"},
		{func(p *Page) { p.Cases[0].Options[0].Click = -.5 }, "true probabilities"},
		{func(p *Page) { p.Cases[0].Actions[1].Delta = math.NaN() }, "action 1"},
		{func(p *Page) { p.Cases[0].Actions[1].Place.Lat = -91 }, `"p2"`},
		{func(p *Page) { p.Cases[0].Parts[0].Delta = math.Inf(1) }, "delta of the review"},
		{func(p *Page) { p.Cases[0].Parts[0].At = 2 }, "no review 2"},
		{func(p *Page) { p.Cases[0].Parts[2].At = -1 }, "no tags -1"},
		{func(p *Page) { p.Cases[0].Options = make([]Option, MaxOptions+1) }, "1025 options"},
	} {
		p := spring(t)
		x.edit(&p)
		var b bytes.Buffer
		if err := Write(&b, p); !errors.Is(err, poi.ErrBadInput) || !strings.Contains(err.Error(), x.says) || b.Len() > 0 {
			t.Errorf("error %v after %d bytes, want one saying %q", err, b.Len(), x.says)
		}
	}
	if err := Write(broken{}, spring(t)); err == nil || errors.Is(err, poi.ErrBadInput) {
		t.Errorf("a broken writer gave %v", err)
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("disk full") }

// Every page that is accepted is well-formed and shows no number that is none.
func TestAnyPageIsWellFormed(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.StringOf(rapid.RuneFrom([]rune(`ab é<>&"'#%\`)))
		delta := rapid.OneOf(rapid.Float64Range(-1e9, 1e9), rapid.Just(0.0), rapid.Float64Range(-1e-9, 1e-9))
		at := rapid.Custom(func(t *rapid.T) poi.Place {
			return poi.Place{ID: text.Draw(t, "id"), Name: text.Draw(t, "name"), Category: text.Draw(t, "category"),
				Lat: rapid.Float64Range(-90, 90).Draw(t, "lat"), Lng: rapid.Float64Range(-180, 180).Draw(t, "lng")}
		})
		c := Case{Request: text.Draw(t, "request"), TimeMS: rapid.Int64Range(0, 4e12).Draw(t, "time"), Run: "a", Against: text.Draw(t, "against"),
			Place: at.Draw(t, "place"), Logit: delta.Draw(t, "logit"), HasUser: rapid.Bool().Draw(t, "seen"), Lat: 89.99, Lng: -180}
		for range rapid.IntRange(0, 5).Draw(t, "options") {
			c.Options = append(c.Options, Option{Place: at.Draw(t, "option"), Score: rapid.Float64Range(0, 1).Draw(t, "score"), Other: delta.Draw(t, "other"),
				Click: Unknown, Relevance: rapid.SampledFrom([]float64{Unknown, 0, 1}).Draw(t, "relevance")})
		}
		for range rapid.IntRange(0, 30).Draw(t, "actions") {
			c.Actions = append(c.Actions, Action{Place: at.Draw(t, "visited"), TimeMS: rapid.Int64Range(0, 4e12).Draw(t, "when"), Delta: delta.Draw(t, "delta")})
		}
		for i := range rapid.IntRange(0, 4).Draw(t, "reviews") {
			c.Details.Reviews = append(c.Details.Reviews, text.Draw(t, "review"))
			c.Parts = append(c.Parts, Part{Review, i, delta.Draw(t, "share")})
		}
		var b bytes.Buffer
		if err := Write(&b, Page{Title: text.Draw(t, "title"), Cases: []Case{c}}); err != nil {
			t.Fatal(err)
		}
		testkit.Page(t, b.String())
	})
}
