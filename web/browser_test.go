package web_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/png"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long a page may take on a busy machine.
const patience = 60 * time.Second

// browserNames are where a browser may be; the first one found is used.
var browserNames = []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "headless-shell"}

// browser starts one browser for all tests of the package.
var browser = sync.OnceValues(func() (context.Context, error) {
	var found string
	for _, name := range browserNames {
		if path, err := exec.LookPath(name); err == nil {
			found = path
			break
		}
	}
	if found == "" {
		return nil, fmt.Errorf("no browser among %s on the PATH: install chromium to run these tests", strings.Join(browserNames, ", "))
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(found),
		// Maps are drawn by WebGL, which needs no graphics card this way.
		chromedp.Flag("use-angle", "swiftshader"),
		chromedp.Flag("enable-unsafe-swiftshader", true),
		chromedp.Flag("ignore-gpu-blocklist", true),
		chromedp.WSURLReadTimeout(patience))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox) // the browser refuses its sandbox to root
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, closeBrowser := chromedp.NewContext(allocator)
	closers = append(closers, stop, closeBrowser)
	_, err := chromedp.Run(ctx, chromedp.Location())
	return ctx, err
})

var closers []context.CancelFunc

func TestMain(m *testing.M) {
	code := m.Run()
	for _, f := range slices.Backward(closers) {
		f()
	}
	os.Exit(code)
}

// tab is one page of the browser with what it complained about.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu     sync.Mutex
	faults []string
	urls   []string
}

// open starts a tab of its own, with storage of its own. At the end of the test it
// must have complained about nothing except what allowed names, and asked no other host.
func open(t *testing.T, width, height int, dark bool, url string, allowed ...string) *tab {
	t.Helper()
	return launch(t, width, height, dark, true, url, allowed)
}

// openBare is open in a browser without WebGL: there is no map, all else works, and a
// busy machine is spared the drawing.
func openBare(t *testing.T, url string, allowed ...string) *tab {
	t.Helper()
	return launch(t, 1280, 800, false, false, url, allowed)
}

func launch(t *testing.T, width, height int, dark, draws bool, url string, allowed []string) *tab {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a browser")
	}
	root, err := browser()
	if err != nil && root == nil {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("start the browser: %v", err)
	}
	t.Parallel() // a page waits more than it works
	p := &tab{t: t}
	ctx, cancel := chromedp.NewContext(root, chromedp.WithNewBrowserContext(), chromedp.WithListener(p.listen))
	t.Cleanup(cancel)
	p.ctx = ctx
	if _, err := chromedp.Run(ctx, chromedp.Location()); err != nil { // the tab lives as long as this context
		t.Fatalf("open a tab: %v", err)
	}
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	if !draws {
		p.do(chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: "HTMLCanvasElement.prototype.getContext = () => null"})
			return err
		}))
	}
	p.do(chromedp.EmulateViewport(int64(width), int64(height)),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error { // each tab, though others run beside it
			_, err := cdp.Call(ctx, t, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
			return err
		}),
		chromedp.Func(func(ctx context.Context, t *chromedp.Target) error {
			_, err := cdp.Call(ctx, t, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
				Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}},
			})
			return err
		}),
		chromedp.Navigate(url))
	host := url[:strings.Index(url, "/map/")]
	t.Cleanup(func() { p.settle(host, allowed) })
	return p
}

func (p *tab) listen(ev any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch e := ev.(type) {
	case *runtime.EventConsoleAPICalled:
		if e.Type == "error" || e.Type == "warning" {
			var said []string
			for _, a := range e.Args {
				said = append(said, string(a.Value)+a.Description)
			}
			p.faults = append(p.faults, "console: "+strings.Join(said, " "))
		}
	case *runtime.EventExceptionThrown:
		p.faults = append(p.faults, fmt.Sprintf("exception: %s %v", e.ExceptionDetails.Text, e.ExceptionDetails.Exception))
	case *log.EventEntryAdded:
		if e.Entry.Level == "error" || e.Entry.Level == "warning" {
			p.faults = append(p.faults, fmt.Sprintf("log: %s %s", e.Entry.Text, e.Entry.URL))
		}
	case *network.EventRequestWillBeSent:
		p.urls = append(p.urls, e.Request.URL)
	}
}

// settle fails the test for complaints and foreign requests.
func (p *tab) settle(host string, allowed []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	allowed = append(allowed, "/v1/pois/gone") // a place of the history that the fake does not have
	for _, fault := range p.faults {
		if !slices.ContainsFunc(allowed, func(a string) bool { return strings.Contains(fault, a) }) {
			p.t.Errorf("the page complained: %s", fault)
		}
	}
	for _, url := range p.urls {
		if !strings.HasPrefix(url, host) && !strings.HasPrefix(url, "data:") && !strings.HasPrefix(url, "blob:") && url != "about:blank" {
			p.t.Errorf("the page asked %s", url)
		}
	}
	if len(p.urls) == 0 {
		p.t.Error("no request was seen, so that foreign ones would not be seen either")
	}
}

func (p *tab) do(steps ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, steps...); err != nil {
		p.t.Fatalf("%v; the page says: %s", err, p.text())
	}
}

// text is what the page shows, for messages of failed tests.
func (p *tab) text() string {
	ctx, cancel := context.WithTimeout(p.ctx, 5*time.Second)
	defer cancel()
	text, err := chromedp.Run(ctx, chromedp.Evaluate[string]("document.body.innerText.slice(0, 1500)"))
	p.mu.Lock()
	defer p.mu.Unlock()
	return fmt.Sprint(text, err, p.faults)
}

// eval returns the value of an expression, waiting for it if it is a promise.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// wait polls until an expression is true.
func (p *tab) wait(expression string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience+5*time.Second)
	defer cancel()
	if _, err := chromedp.Run(ctx, chromedp.Poll[bool]("!!("+expression+")", chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(patience))); err != nil {
		p.t.Fatalf("waiting for %s: %v; the page says: %s", expression, err, p.text())
	}
}

// plain is a text whose numbers may be torn from their units.
func plain(text string) string { return strings.ReplaceAll(text, "\u00a0", " ") }

// paneJS is a pane of the map page by its number, from 1.
func paneJS(n int) string { return fmt.Sprintf("document.querySelector('.pane:nth-of-type(%d)')", n) }

// list returns the answers of a pane.
func (p *tab) list(n int) []string {
	p.t.Helper()
	return eval[[]string](p, "[..."+paneJS(n)+".querySelectorAll('.answer')].map(b => b.dataset.poi)")
}

// quiet waits until a pane has answers and asks for nothing.
func (p *tab) quiet(n int) {
	p.t.Helper()
	p.wait(paneJS(n) + "?.querySelector('.answer') && !" + paneJS(n) + ".querySelector('.sheet').hasAttribute('aria-busy')")
}

// shot writes what the window shows as a PNG and returns it.
func (p *tab) shot(name string) image.Image {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	data, err := chromedp.Run(ctx, chromedp.CaptureScreenshot())
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(p.t.ArtifactDir(), name+".png"), data, 0o600); err != nil {
		p.t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		p.t.Fatal(err)
	}
	return img
}

// painted counts the pixels of a picture that have a colour, give or take two steps.
func painted(img image.Image, r, g, b int) int {
	n := 0
	near := func(x uint32, want int) bool { return max(int(x>>8), want)-min(int(x>>8), want) <= 2 }
	for y := img.Bounds().Min.Y; y < img.Bounds().Max.Y; y++ {
		for x := img.Bounds().Min.X; x < img.Bounds().Max.X; x++ {
			cr, cg, cb, _ := img.At(x, y).RGBA()
			if near(cr, r) && near(cg, g) && near(cb, b) {
				n++
			}
		}
	}
	return n
}
