package web_test

import (
	"fmt"
	"image"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/web"
)

// spill names elements that reach beyond the window and are not inside something that
// scrolls or clips.
const spill = `(() => {
  const out = [];
  if (document.documentElement.scrollWidth > innerWidth) { out.push("page " + document.documentElement.scrollWidth); }
  for (const e of document.querySelectorAll("body *")) {
    if (e.closest(".map, .scroll, svg, .skip, .said, .days legend") || e.closest("[hidden]")) { continue; }
    const r = e.getBoundingClientRect();
    if (r.width > 0 && (r.right > innerWidth + 1 || r.left < -1)) { out.push(e.tagName + "." + e.className + " " + r.left + " to " + r.right); }
  }
  return out;
})()`

// nameless names controls that a screen reader could not name.
const nameless = `[...document.querySelectorAll("button, input, select, [role=button], [role=combobox], [role=img], canvas")]
  .filter((e) => !e.closest("[hidden], template") && !e.closest("[aria-hidden=true]"))
  .filter((e) => !(e.getAttribute("aria-label") || e.textContent.trim() || e.labels?.length || e.title))
  .map((e) => e.outerHTML.slice(0, 120))`

func TestLooks(t *testing.T) {
	f := newFake()
	f.status.Routes = []api.RouteStatus{
		{Route: "POST /v1/recommend", Requests: 15230, Errors: 12, ByStatus: map[string]int64{"200": 15218, "422": 12}, P50MS: 8.1, P90MS: 14.22, P99MS: 41.7},
		{Route: "GET /v1/users/{user}/actions", Requests: 3, ByStatus: map[string]int64{"200": 3}, P50MS: 0.4, P90MS: 0.6, P99MS: 1204},
	}
	f.status.Shadow = &api.ShadowStatus{Version: "2026-04-01", Requests: 1200, SameFirst: 0.87, Overlap: 0.93, Dropped: 4}
	f.status.Gauges = map[string]float64{"whereto_cache_hit_ratio": 0.8312, "whereto_drift_hour": 0.012}
	f.status.Models[1].State, f.status.Models[1].Reason = "failed", "index 77aa does not belong to the model, which wants 9f2c"
	base := f.start(t, web.Options{})
	for _, c := range []struct {
		name   string
		dark   bool
		path   string
		widths []int
	}{
		{"map", false, "/map/#as=p19", []int{390, 1100, 1280}},
		{"map-compare", false, "/map/#c=1&bt=5-1200", []int{390, 1280}},
		{"map-dark", true, "/map/#as=p09", []int{1280}},
		{"map-draw", false, "/map/#h=p02@2013-02-01T12:30:00-05:00&h=p09@2013-02-01T15:30:00-05:00", []int{390, 1280}},
		{"status", false, "/map/status.html", []int{390, 1100, 1280}},
	} {
		t.Run(c.name, func(t *testing.T) {
			p := open(t, c.widths[0], heightOf(c.widths[0]), c.dark, base+c.path)
			isMap := strings.HasPrefix(c.name, "map")
			if isMap {
				p.quiet(1)
				p.wait("document.querySelector('.tree details')")
				p.wait("document.querySelectorAll('#step-names option').length > 0")
				p.wait("/v=/.test(location.hash) && !/v=11%2F/.test(location.hash)") // moved from where it begins to the answers
			} else {
				p.wait("document.querySelectorAll('#routes tr').length === 2")
			}
			for _, width := range c.widths {
				p.do(chromedp.EmulateViewport(int64(width), int64(heightOf(width))))
				p.wait(fmt.Sprintf("innerWidth === %d", width))
				if got := eval[[]string](p, spill); len(got) > 0 {
					t.Errorf("at %d, reaches beyond the window: %q", width, got)
				}
				if got := eval[[]string](p, nameless); len(got) > 0 {
					t.Errorf("at %d, without a name: %q", width, got)
				}
				if isMap {
					p.drawn(fmt.Sprintf("%s-%d", c.name, width), c.dark)
				} else {
					p.shot(fmt.Sprintf("%s-%d", c.name, width))
				}
			}
		})
	}
}

func heightOf(width int) int {
	if width < 500 {
		return 844
	}
	return 800
}

// drawn takes pictures until answers are on the map: new ideas have one colour,
// whatever else is there.
func (p *tab) drawn(name string, dark bool) {
	p.t.Helper()
	r, g, b := 0x1f, 0x5f, 0xbf
	if dark {
		r, g, b = 0x6e, 0xa8, 0xff
	}
	inMap := eval[[]int](p, "(() => { const r = document.querySelector('.map').getBoundingClientRect(); return [r.left, r.top, r.right, r.bottom].map(Math.round); })()")
	for deadline := time.Now().Add(patience); ; {
		img, ok := p.shot(name).(interface {
			image.Image
			SubImage(image.Rectangle) image.Image
		})
		if !ok {
			p.t.Fatal("a picture that cannot be cut")
		}
		if painted(img.SubImage(image.Rect(inMap[0], inMap[1], inMap[2], inMap[3])), r, g, b) > 400 {
			return
		}
		if time.Now().After(deadline) {
			p.t.Fatalf("%s: no answer is drawn on the map; the page says: %s", name, p.text())
		}
	}
}

func TestStatusWithoutTraffic(t *testing.T) {
	f := newFake()
	f.status.Ready = false
	f.status.Checks = []api.Check{{Name: "model", Reason: "still loading"}}
	f.status.Models = nil
	p := open(t, 1280, 800, false, f.start(t, web.Options{})+"/map/status.html")
	p.wait("document.querySelector('#ready').textContent === 'Not ready'")
	got := eval[string](p, "document.querySelector('#status').innerText")
	if !containsAll(got, "model: still loading", "No model is loaded.", "Nobody has asked yet.", "nobody has asked yet", "12,345", "3 h") {
		t.Errorf("the page says %q", got)
	}
}

// TestStatusAway takes the service away below the page, which must not go on to say that
// all is well.
func TestStatusAway(t *testing.T) {
	f := newFake()
	p := openBare(t, f.start(t, web.Options{})+"/map/status.html", "ERR_")
	p.wait("document.querySelector('#ready').textContent === 'Ready to answer'")
	f.down.Store(true)
	p.wait("document.querySelector('#ready').textContent === 'No answer'")
	if got := eval[string](p, "document.querySelector('#problem').innerText"); !containsAll(got, "The service cannot be reached") {
		t.Errorf("the page says %q", got)
	}
}

// TestTabOrder walks the page by Tab alone and expects to meet each control and to see
// where the focus is.
func TestTabOrder(t *testing.T) {
	f := newFake()
	p := open(t, 900, 600, false, f.start(t, web.Options{})+"/map/")
	p.quiet(1)
	p.wait("document.querySelector('.tree details')")
	met := map[string]bool{}
	for range 60 {
		p.do(chromedp.KeyEvent(kb.Tab))
		met[eval[string](p, "(() => { const e = document.activeElement; return e.id || e.classList[0] || e.tagName; })()")] = true
		if got := eval[string](p, "(() => { const e = document.activeElement; if (e === document.body) { return 'ok'; } const s = getComputedStyle(e.matches('.days input') ? e.nextElementSibling : e); return s.outlineStyle !== 'none' || s.boxShadow !== 'none' ? 'ok' : e.outerHTML.slice(0, 80); })()"); got != "ok" {
			t.Errorf("the focus cannot be seen on %s", got)
		}
	}
	for _, want := range []string{"skip", "person", "draw", "k", "compare", "play", "at", "home", "answer", "me", "maplibregl-ctrl-zoom-in", "all", "SUMMARY"} {
		if !met[want] {
			t.Errorf("Tab does not reach %s; it met %v", want, met)
		}
	}
}

func TestWithoutWebGL(t *testing.T) {
	f := newFake()
	p := openBare(t, f.start(t, web.Options{})+"/map/")
	p.quiet(1)
	p.wait("document.querySelector('.nomap').textContent.includes('WebGL 2')")
	agrees(t, f, p, 1)
}
