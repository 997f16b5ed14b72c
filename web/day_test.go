package web_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/whereto/whereto/web"
)

// TestDay reads the line of first places below the slider, and moves the hour by it.
func TestDay(t *testing.T) {
	f := newFake()
	p := openBare(t, f.start(t, web.Options{})+"/map/")
	p.quiet(1)
	p.wait("document.querySelector('.day:not(.old) button')")
	ask, _ := f.last()
	line := eval[string](p, "document.querySelector('.day').getAttribute('aria-label')")
	for hour := range 24 {
		who := ask.Who
		who.Time = time.Date(2013, 2, 8, hour, 0, 0, 0, ask.Time.Location()) // the fake knows hours, no dates
		if first := f.best(who, 1)[0].Name; !strings.Contains(line, first) {
			t.Errorf("%02d:00 has %q first, the line of the day says %q", hour, first, line)
		}
	}
	from := eval[string](p, "(() => { const b = [...document.querySelectorAll('.day button')].find((b) => !b.classList.contains('now')); b.click(); return b.title; })()")
	p.wait(fmt.Sprintf("document.querySelector('.said').textContent.includes('%s')", from[:5]))
	p.quiet(1)
	agrees(t, f, p, 1)
	p.do(chromedp.Focus(".days input:checked"), chromedp.KeyEvent(kb.ArrowRight))
	p.wait("document.querySelector('.day:not(.old)')?.getAttribute('aria-label').includes('on Saturday')")
}

// TestPlay lets the day pass by itself, and stops it.
func TestPlay(t *testing.T) {
	f := newFake()
	p := openBare(t, f.start(t, web.Options{})+"/map/")
	p.quiet(1)
	p.do(chromedp.Focus(".play"), chromedp.KeyEvent(kb.Enter))
	p.wait("document.querySelector('.said').textContent.includes('15:00')") // from 13:30
	p.do(chromedp.KeyEvent(kb.Enter))
	p.wait("document.querySelector('.play').textContent.includes('Play')")
	p.quiet(1)
	agrees(t, f, p, 1)
}

// TestNameless shows data without names of places, as public check-ins are.
func TestNameless(t *testing.T) {
	f := newFake()
	for i := range f.places {
		f.places[i].Name = ""
	}
	f.places[9].Category = "Unknown"
	p := openBare(t, f.start(t, web.Options{})+"/map/#as=p19&k=36")
	p.quiet(1)
	p.wait("document.querySelector('.why .acts')")
	names := eval[[]string](p, "[...document.querySelectorAll('.answer')].map((b) => `${b.dataset.poi} ${b.querySelector('.name').textContent}`)")
	for _, want := range []string{"p19 Homep19", "p14 Coffee Shopp14", "p09 Place of unknown kindp09"} {
		if i := indexPrefix(names, want[:4]); i < 0 || strings.ReplaceAll(names[i], " (private)", "") != want {
			t.Errorf("the list reads %q, want %q in it", names, want)
		}
	}
	small := eval[bool](p, "parseFloat(getComputedStyle(document.querySelector('.answer .id')).fontSize) < 12")
	if !small {
		t.Error("the id of a place is as large as its name")
	}
	if who := eval[string](p, "document.querySelector('#who').textContent"); !strings.HasSuffix(who, "at Coffee Shop.") {
		t.Errorf("the person is described as %q", who)
	}
	p.wait("document.querySelector('.tree').textContent.includes('around ') && !/\\bp\\d\\d/.test(document.querySelector('.tree').textContent)")
}

func indexPrefix(list []string, prefix string) int {
	for i, s := range list {
		if strings.HasPrefix(s, prefix) {
			return i
		}
	}
	return -1
}

// TestDrawByPointer clicks beside a dot, which counts, and where nothing is.
func TestDrawByPointer(t *testing.T) {
	f := newFake()
	p := open(t, 900, 600, false, f.start(t, web.Options{})+"/map/#v=14/40.7245/-73.9915") // 19 pixels from p14
	p.quiet(1)
	p.wait("document.querySelectorAll('#step-names option').length > 0")
	p.do(chromedp.Click("#draw"))
	p.wait("!document.querySelector('.me')") // nobody stands anywhere yet
	p.wait("document.querySelector('#who').textContent.startsWith('Nobody')")
	at := func(dx, dy float64) (float64, float64) {
		mid := eval[[]float64](p, "(() => { const r = document.querySelector('.map').getBoundingClientRect(); return [r.x + r.width / 2, r.y + r.height / 2]; })()")
		return mid[0] + dx, mid[1] + dy
	}
	// A pointer over the dot gets its name as soon as the dot is drawn.
	for end, side := time.Now().Add(patience), 1.0; !eval[bool](p, "!!document.querySelector('.maplibregl-popup')?.textContent.includes('Coffee Shop 14')"); side = -side {
		x, y := at(-11.6+side, 15.4)
		p.do(chromedp.MouseEvent("mouseMoved", x, y))
		if time.Now().After(end) {
			t.Fatalf("the dot is not drawn; the page says: %s", p.text())
		}
	}
	p.do(chromedp.MouseClickXY(at(0, 0)))
	p.wait("document.querySelectorAll('#steps li').length === 1")
	p.wait("document.querySelector('#steps li').textContent.startsWith('Coffee Shop 14')")
	p.quiet(1)
	p.do(chromedp.MouseClickXY(at(170, 120)))
	p.wait("document.querySelector('.missed').textContent.includes('No place here')")
	if n := eval[int](p, "document.querySelectorAll('#steps li').length"); n != 1 {
		t.Errorf("%d visits after a click where nothing is, want 1", n)
	}
}

// TestServiceAway takes the service away and brings it back, under the hands of a person.
func TestServiceAway(t *testing.T) {
	f := newFake()
	p := openBare(t, f.start(t, web.Options{})+"/map/", "ERR_")
	p.quiet(1)
	p.wait("document.querySelector('.day:not(.old)')")
	before := p.list(1)
	f.down.Store(true)
	p.do(chromedp.Focus(".hour input"), chromedp.KeyEvent(kb.Home))
	p.wait("document.querySelector('.sheet .problem').innerText.includes('asks again')")
	if got := eval[string](p, "document.querySelector('.sheet .problem').innerText"); !containsAll(got, "The service cannot be reached", "the answers below are old") {
		t.Errorf("the page says %q", got)
	}
	f.down.Store(false)
	p.wait("document.querySelector('.sheet .problem').hidden")
	p.wait("document.querySelector('.said').textContent.includes('00:00')")
	p.quiet(1)
	agrees(t, f, p, 1)
	if now := p.list(1); now[0] == before[0] {
		t.Errorf("the list is still led by %s", now[0])
	}
}
