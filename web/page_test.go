package web_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/web"
)

func ids(places []api.Place) []string {
	var out []string
	for _, p := range places {
		out = append(out, p.POI)
	}
	return out
}

// agrees compares a pane with what the fake answers to the latest request.
func agrees(t *testing.T, f *fakeService, p *tab, pane int) {
	t.Helper()
	ask, _ := f.last()
	if got, want := p.list(pane), ids(f.best(ask.Who, ask.K)); !slices.Equal(got, want) {
		t.Errorf("the page lists %v, the service answered %v to %+v", got, want, ask)
	}
}

func TestHourByKeyboard(t *testing.T) {
	f := newFake()
	p := openBare(t, f.start(t, web.Options{})+"/map/")
	p.quiet(1)
	first, _ := f.last()
	if got, want := first.Time.Format(time.RFC3339), "2013-02-01T13:30:00-05:00"; got != want || first.User != "395" || first.K != 10 {
		t.Errorf("asked about user %q at %s, k %d; want 395 an hour after the last action, %s, k 10", first.User, got, first.K, want)
	}
	if first.Lat == nil || *first.Lat != f.places[14].Lat || *first.Lng != f.places[14].Lng {
		t.Errorf("asked from %v %v, want the last place", first.Lat, first.Lng)
	}
	before := p.list(1)
	agrees(t, f, p, 1)
	p.do(chromedp.Focus(".hour input"), chromedp.KeyEvent(kb.ArrowRight+kb.ArrowRight+kb.ArrowRight+kb.ArrowRight+kb.ArrowRight+kb.ArrowRight+kb.ArrowRight+kb.ArrowRight+kb.ArrowRight))
	p.wait("document.querySelector('.said').textContent.includes('18:00')")
	p.quiet(1)
	if now := p.list(1); slices.Equal(before, now) {
		t.Errorf("at 13:30 and at 18:00 the list is %v", now)
	}
	agrees(t, f, p, 1)
	p.do(chromedp.KeyEvent(kb.Home)) // midnight of this Friday is before the last action
	p.wait("document.querySelector('.said').textContent.includes('Fri 8 Feb 2013, 00:00')")
	p.quiet(1)
	agrees(t, f, p, 1)
	p.do(chromedp.Focus(".days input:checked"), chromedp.KeyEvent(kb.ArrowRight))
	p.wait("document.querySelector('.said').textContent.includes('Sat 2 Feb 2013, 00:00')")
	p.wait("location.hash.includes('at=5-0')")
}

// dragTo moves the marker by pixels with the mouse.
func dragBy(p *tab, dx, dy float64) {
	p.t.Helper()
	at := eval[[]float64](p, "(() => { const r = document.querySelector('.me').getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()")
	p.do(chromedp.DragAndDropXY(at[0], at[1], at[0]+dx, at[1]+dy))
}

func TestMarker(t *testing.T) {
	f := newFake()
	p := open(t, 900, 600, false, f.start(t, web.Options{})+"/map/#v=12/40.73/-73.985")
	p.quiet(1)
	p.wait("document.querySelector('.me')")
	before, start := p.list(1), p.where()
	dragBy(p, 120, -90)
	p.wait("document.querySelector('.at').value !== " + fmt.Sprintf("%q", start))
	p.quiet(1)
	ask, _ := f.last()
	if *ask.Lat <= f.places[14].Lat || *ask.Lng <= f.places[14].Lng {
		t.Errorf("dragged to the north-east, asked from %v %v", *ask.Lat, *ask.Lng)
	}
	if slices.Equal(before, p.list(1)) {
		t.Error("the list did not change with the position")
	}
	agrees(t, f, p, 1)

	moved := p.where()
	p.do(chromedp.Focus(".me"), chromedp.KeyEvent(kb.ArrowDown))
	p.wait("document.querySelector('.at').value !== " + fmt.Sprintf("%q", moved))
	p.do(chromedp.Click(".home"))
	p.wait("document.querySelector('.at').value === " + fmt.Sprintf("%q", start))
	p.do(chromedp.Focus(".at"))
	eval[bool](p, "(document.querySelector('.at').select(), true)")
	p.do(chromedp.KeyEvent("40.7600, -73.9600" + kb.Enter))
	p.wait("document.querySelector('.me').getAttribute('aria-label').includes('40.7600, -73.9600')")
	p.wait("location.hash.includes('ap=40.76%2C-73.96')")
	p.quiet(1)
	agrees(t, f, p, 1)
}

func (p *tab) where() string { return eval[string](p, "document.querySelector('.at').value") }

func TestCompare(t *testing.T) {
	f := newFake()
	p := open(t, 1000, 600, false, f.start(t, web.Options{})+"/map/")
	p.quiet(1)
	left := p.list(1)
	p.do(chromedp.Click("#compare"))
	p.quiet(2)
	p.wait("document.querySelectorAll('.pane')[1].querySelector('.said').textContent.includes('19:30')")
	right := p.list(2)
	if slices.Equal(left, right) {
		t.Fatalf("both sides list %v", left)
	}
	if got := p.list(1); !slices.Equal(got, left) {
		t.Errorf("the left side changed to %v from %v", got, left)
	}
	// The first answer of the right side says where it stands on the left.
	mark := eval[string](p, paneJS(2)+".querySelector('.change').textContent")
	want := "only here"
	if at := slices.Index(left, right[0]); at == 0 {
		want = "="
	} else if at > 0 {
		want = fmt.Sprintf("▲ %d", at)
	}
	if mark != want {
		t.Errorf("the first place on the right is marked %q, want %q; left %v, right %v", mark, want, left, right)
	}
	views := func() []string {
		return eval[[]string](p, "[...document.querySelectorAll('.maplibregl-ctrl-scale')].map(s => s.textContent)")
	}
	scale := views()
	p.do(chromedp.Click(".pane:nth-of-type(1) .maplibregl-ctrl-zoom-in"))
	p.wait(fmt.Sprintf("[...document.querySelectorAll('.maplibregl-ctrl-scale')].every(s => s.textContent !== %q)", scale[0]))
	if got := views(); got[0] != got[1] {
		t.Errorf("the maps show scales %v", got)
	}
	p.do(chromedp.Focus(".pane:nth-of-type(2) .models select"), chromedp.KeyEvent(kb.ArrowDown+kb.ArrowDown))
	p.wait("location.hash.includes('bm=2026-02-01')")
	f.waitFor(t, "2026-02-01")
	p.quiet(2)
	if ask, _ := f.last(); ask.Model != "2026-02-01" || slices.Equal(p.list(2), right) {
		t.Errorf("the right side asked model %q and lists %v", ask.Model, p.list(2))
	}
	agrees(t, f, p, 2)
}

func containsAll(text string, parts ...string) bool {
	return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
}

func TestWhy(t *testing.T) {
	f := newFake()
	p := openBare(t, f.start(t, web.Options{})+"/map/")
	p.quiet(1)
	p.wait("document.querySelector('.day:not(.old) button')")
	chosen := p.list(1)[1]
	p.do(chromedp.Focus(".answers li:nth-child(2) button"), chromedp.KeyEvent(kb.Enter))
	p.wait("document.querySelector('.why .curve')")
	p.quiet(1)
	if got := eval[string](p, "document.activeElement.dataset.poi ?? ''"); got != chosen {
		t.Errorf("the focus is on %q, want it to stay on %q", got, chosen)
	}
	if got := eval[string](p, "document.querySelector('.why').textContent"); !containsAll(got, "from weighing the past", "Noodle House 3", "points", "other hours of Friday") {
		t.Errorf("the reasons read %q", got)
	}
	f.mu.Lock()
	whatIf := f.whatIf
	f.mu.Unlock()
	if whatIf != 48 {
		t.Errorf("asked about %d other moments, want 24 for the first places of the day and 24 for the chosen place", whatIf)
	}
	p.do(chromedp.Focus(".hour input"), chromedp.KeyEvent(kb.ArrowLeft))
	p.wait("document.querySelector('.said').textContent.includes('13:00')")
	p.quiet(1)
	p.wait("document.querySelector('.why .curve')")
	f.mu.Lock()
	again := f.whatIf
	f.mu.Unlock()
	if again != 48 {
		t.Errorf("another hour of the same day asked about %d moments more", again-48)
	}
	p.wait(fmt.Sprintf("location.hash.includes('as=%s')", chosen))
	p.do(chromedp.Focus(".tree summary"))
	p.do(chromedp.KeyEvent(kb.Enter))
	p.wait("!document.querySelector('.tree details').open")
}

func TestKey(t *testing.T) {
	f := newFake()
	f.key = "letmein"
	p := openBare(t, f.start(t, web.Options{})+"/map/", "401")
	p.wait("document.querySelector('#key-dialog').open")
	p.do(chromedp.SendKeys("#key", "wrong"+kb.Enter))
	p.wait("!document.querySelector('#key-refused').hidden && document.querySelector('#key-dialog').open")
	p.do(chromedp.SendKeys("#key", "letmein"+kb.Enter))
	p.quiet(1)
	agrees(t, f, p, 1)
	if got := eval[string](p, "JSON.stringify([{...sessionStorage}, {...localStorage}, document.cookie, location.href.includes('letmein')])"); got != `[{"whereto.key":"letmein"},{},"",false]` {
		t.Errorf("the browser keeps %s", got)
	}
	p.do(chromedp.Click("#forget"))
	p.wait("sessionStorage.length === 0 && document.querySelector('#forget').hidden")
}

func TestKeyCancelled(t *testing.T) {
	f := newFake()
	f.key = "letmein"
	p := open(t, 1280, 800, false, f.start(t, web.Options{})+"/map/status.html", "401")
	p.wait("document.querySelector('#key-dialog').open")
	p.do(chromedp.Click("#key-cancel"))
	p.wait("document.querySelector('#problem').textContent.includes('No key')")
	p.wait("document.querySelector('#fresh').textContent.includes('Load the page again')")
}

func TestProblem(t *testing.T) {
	f := newFake()
	p := openBare(t, f.start(t, web.Options{})+"/map/", "422")
	p.quiet(1)
	count := func(k string) {
		p.do(chromedp.Focus("#k"))
		eval[bool](p, "(document.querySelector('#k').select(), true)")
		p.do(chromedp.KeyEvent(k + kb.Enter))
	}
	count("13")
	p.wait("!document.querySelector('.sheet .problem').hidden")
	got := eval[string](p, "document.querySelector('.sheet .problem').innerText")
	if !containsAll(got, "Not that many", "The number of places is unlucky.", "body.k: want anything but 13") {
		t.Errorf("the page says %q", got)
	}
	count("7")
	p.wait("document.querySelector('.sheet .problem').hidden && document.querySelectorAll('.answer').length === 7")
}

func TestStaleAnswer(t *testing.T) {
	f := newFake()
	f.hold = 14
	p := openBare(t, f.start(t, web.Options{})+"/map/")
	p.quiet(1)
	p.do(chromedp.Focus(".hour input"), chromedp.KeyEvent(kb.ArrowRight)) // 14:00 never answers
	within := func(what string, c chan struct{}) {
		select {
		case <-c:
		case <-time.After(patience):
			t.Fatalf("%s; the page says: %s", what, p.text())
		}
	}
	within("the service was not asked about 14:00", f.held)
	p.do(chromedp.KeyEvent(kb.ArrowRight + kb.ArrowRight))
	within("the page did not give up the question about 14:00", f.gone)
	p.wait("document.querySelector('.said').textContent.includes('15:00')")
	p.quiet(1)
	agrees(t, f, p, 1)
}

func TestPeople(t *testing.T) {
	f := newFake()
	p := openBare(t, f.start(t, web.Options{})+"/map/")
	p.quiet(1)
	before := p.list(1)
	p.do(chromedp.Focus("#person"))
	p.wait("document.querySelectorAll('#people li').length === 21") // 20 and "More people"
	p.do(chromedp.KeyEvent(kb.ArrowUp + kb.Enter))
	p.wait("document.querySelectorAll('#people li').length === 30")
	p.do(chromedp.KeyEvent(kb.ArrowDown + kb.ArrowDown + kb.Enter))
	p.wait("document.querySelector('#who').textContent.startsWith('396: 4 actions')")
	p.quiet(1)
	if ask, _ := f.last(); ask.User != "396" || slices.Equal(before, p.list(1)) {
		t.Errorf("asked about %q; the list went from %v to %v", ask.User, before, p.list(1))
	}
	p.do(chromedp.Focus("#person"), chromedp.SendKeys("#person", "42"))
	p.wait("document.querySelectorAll('#people li').length === 5")
	p.do(chromedp.KeyEvent(kb.Escape))
	p.wait("document.querySelector('#people').hidden")
	if got := eval[string](p, "document.querySelector('#person').value"); got != "42" {
		t.Errorf("Escape leaves %q in the field, want what was typed", got)
	}
}

func TestDrawnHistory(t *testing.T) {
	f := newFake()
	p := open(t, 900, 600, false, f.start(t, web.Options{})+"/map/#v=11.5/40.73/-73.985")
	p.quiet(1)
	p.wait("document.querySelectorAll('#step-names option').length > 20")
	p.do(chromedp.Click("#draw"))
	p.wait("!document.querySelector('#drawing').hidden")
	p.do(chromedp.SendKeys("#step", "Gym 2"+kb.Enter))
	p.wait("document.querySelectorAll('#steps li').length === 1")
	p.do(chromedp.SendKeys("#step", "Bar 4"+kb.Enter))
	p.wait("document.querySelectorAll('#steps li').length === 2")
	p.quiet(1)
	p.wait("document.querySelector('#who').textContent.startsWith('A drawn history: 2 actions')")
	p.wait("location.hash.includes('h=p02') && location.hash.includes('h=p04')")
	ask, _ := f.last()
	if len(ask.History) != 2 || ask.User != "" || ask.History[0].POI != "p02" || ask.History[1].POI != "p04" {
		t.Fatalf("asked with user %q and history %+v", ask.User, ask.History)
	}
	if !ask.History[0].Time.Before(ask.History[1].Time) || !ask.History[1].Time.Before(ask.Time) {
		t.Errorf("moments %v, %v and %v are out of order", ask.History[0].Time, ask.History[1].Time, ask.Time)
	}
	agrees(t, f, p, 1)
	p.do(chromedp.Reload())
	p.quiet(1)
	p.wait("document.querySelectorAll('#steps li').length === 2")
	p.do(chromedp.Click("#steps li button"))
	p.wait("document.querySelectorAll('#steps li').length === 1")
}
