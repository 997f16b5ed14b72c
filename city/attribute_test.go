package city_test

import (
	"bytes"
	"cmp"
	"image/png"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/poi"
)

// auc returns the share of pairs of a positive and a negative that the score
// orders right; ties count half.
func auc(score []float64, positive []bool) float64 {
	order := make([]int, len(score))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(score[a], score[b]) })
	var below, good, positives float64
	for i := 0; i < len(order); {
		var no, yes float64
		j := i
		for ; j < len(order) && score[order[j]] == score[order[i]]; j++ {
			if positive[order[j]] {
				yes++
			} else {
				no++
			}
		}
		good += yes * (below + no/2)
		below, positives, i = below+no, positives+yes, j
	}
	return good / below / positives
}

func TestAUC(t *testing.T) {
	got := auc([]float64{3, 1, 2, 2}, []bool{true, false, true, false})
	if want := 3.5 / 4; got != want { // 3>1, 3>2, 2>1, 2=2
		t.Errorf("auc %g, want %g", got, want)
	}
}

// catalogue is the places people choose among, with the truth.
type catalogue struct {
	places  []poi.Place
	details []poi.Details
	has     map[string][]bool // by attribute
}

func newCatalogue(t *testing.T) *catalogue {
	c := mustNew(t, city.DefaultConfig())
	k := &catalogue{has: map[string][]bool{}}
	for i, p := range c.Places {
		if !slices.Contains([]string{"Food", "Nightlife", "Shop", "Sport", "Outdoors", "Arts"}, strings.Split(p.Category, " > ")[0]) {
			continue
		}
		k.places = append(k.places, p)
		k.details = append(k.details, c.Details(i))
		truth := c.Attributes(i)
		for _, a := range city.AttributeNames() {
			k.has[a] = append(k.has[a], slices.Contains(truth, a))
		}
	}
	return k
}

// The category does not tell a place's attributes: rates fitted on every second
// place hardly order the others.
func TestCategoryDoesNotTellAttributes(t *testing.T) {
	k := newCatalogue(t)
	for a, has := range k.has {
		n, yes := map[string]float64{}, map[string]float64{}
		for i := 0; i < len(has); i += 2 {
			n[k.places[i].Category]++
			if has[i] {
				yes[k.places[i].Category]++
			}
		}
		var score []float64
		var truth []bool
		count := 0
		for i := 1; i < len(has); i += 2 {
			score, truth = append(score, yes[k.places[i].Category]/max(n[k.places[i].Category], 1)), append(truth, has[i])
			if has[i] {
				count++
			}
		}
		if got := auc(score, truth); got > 0.65 {
			t.Errorf("the category alone finds %s with AUC %.3f, want at most 0.65", a, got)
		}
		if share := float64(count) / float64(len(truth)); share < 0.05 || share > 0.25 {
			t.Errorf("%.3f of the places are %s, want 0.05 to 0.25", share, a)
		}
	}
}

func TestDetailsAreWellFormed(t *testing.T) {
	c := mustNew(t, city.DefaultConfig())
	texts := map[string]bool{}
	for i := range 300 {
		d := c.Details(i)
		if !strings.Contains(d.Address, ", ") || len(d.Tags) == 0 || len(d.Tags) > 12 || len(d.Reviews) < 2 || len(d.Reviews) > 6 {
			t.Fatalf("place %d: %+v", i, d)
		}
		near, at := "", math.Inf(1)
		for _, w := range c.Towns() {
			if m := geo.Metres(w.Lat, w.Lng, c.Places[i].Lat, c.Places[i].Lng); m < at {
				near, at = w.Name, m
			}
		}
		if !strings.HasSuffix(d.Address, ", "+near) {
			t.Errorf("place %d of %s has the address %q", i, near, d.Address)
		}
		for _, text := range append(append([]string{d.Address}, d.Tags...), d.Reviews...) {
			if text == "" || !utf8.ValidString(text) || strings.Contains(text, "%") || len(text) > 1000 {
				t.Errorf("place %d says %q", i, text)
			}
		}
		texts[strings.Join(d.Reviews, " ")] = true
		if picture, err := png.Decode(bytes.NewReader(d.Image)); err != nil || picture.Bounds().Dx() != 32 || picture.Bounds().Dy() != 32 || len(d.Image) > 4096 {
			t.Errorf("place %d: picture of %d bytes: %v", i, len(d.Image), err)
		}
	}
	if len(texts) < 295 {
		t.Errorf("300 places have %d different reviews", len(texts))
	}
}

// What a picture shows can be measured: a detector written for the motif finds
// the attribute, and the ground tells the family of categories.
func TestPicturesCorrelateWithAttributes(t *testing.T) {
	k := newCatalogue(t)
	type pixels [32][32][3]float64
	pictures := make([]pixels, len(k.details))
	for i, d := range k.details {
		picture, err := png.Decode(bytes.NewReader(d.Image))
		if err != nil {
			t.Fatal(err)
		}
		for y := range 32 {
			for x := range 32 {
				r, g, b, _ := picture.At(x, y).RGBA()
				pictures[i][y][x] = [3]float64{float64(r) / 65535, float64(g) / 65535, float64(b) / 65535}
			}
		}
	}
	mean := func(p *pixels, y0, y1, x0, x1 int, f func(c [3]float64) float64) float64 {
		sum := 0.0
		for y := y0; y < y1; y++ {
			for x := x0; x < x1; x++ {
				sum += f(p[y][x])
			}
		}
		return sum / float64((y1-y0)*(x1-x0))
	}
	blue := func(c [3]float64) float64 { return (c[2] - c[0]) / (c[0] + c[1] + c[2]) }
	light := func(c [3]float64) float64 { return c[0] + c[1] + c[2] }
	for a, detect := range map[string]func(p *pixels) float64{
		"open late":  func(p *pixels) float64 { return -mean(p, 0, 32, 0, 32, light) },
		"hot spring": func(p *pixels) float64 { return mean(p, 28, 30, 3, 29, blue) - mean(p, 18, 20, 3, 29, blue) },
		"fine view":  func(p *pixels) float64 { return mean(p, 2, 8, 3, 29, blue) - mean(p, 14, 20, 3, 29, blue) },
		"refined":    func(p *pixels) float64 { return mean(p, 10, 20, 3, 6, blue) - mean(p, 10, 20, 0, 2, blue) },
	} {
		score := make([]float64, len(pictures))
		for i := range pictures {
			score[i] = detect(&pictures[i])
		}
		if got := auc(score, k.has[a]); got < 0.75 || got > 0.97 {
			t.Errorf("the picture finds %s with AUC %.3f, want 0.75 to 0.97: a sign, but with noise", a, got)
		}
	}
	outdoors, score := make([]bool, len(pictures)), make([]float64, len(pictures))
	for i := range pictures {
		outdoors[i] = strings.HasPrefix(k.places[i].Category, "Outdoors")
		score[i] = mean(&pictures[i], 10, 20, 3, 29, func(c [3]float64) float64 { return (c[1] - c[0]) / light(c) })
	}
	if got := auc(score, outdoors); got < 0.8 {
		t.Errorf("green grounds find parks with AUC %.3f, want 0.8 or more", got)
	}
}

// People go where they like it: places with an attribute someone likes are a
// larger part of his visits than of other people's, unless tastes are off.
func TestTastesActOnVisits(t *testing.T) {
	for _, tc := range []struct{ taste, low, high float64 }{{1, 1.3, 3}, {0, 0.85, 1.15}} {
		cfg := city.DefaultConfig()
		cfg.Taste, cfg.Users = tc.taste, 300
		c := mustNew(t, cfg)
		attributes := make(map[string][]string, len(c.Places))
		for i, p := range c.Places {
			attributes[p.ID] = c.Attributes(i)
		}
		var liked, likes, all, possible float64
		for u := range cfg.Users {
			mine := c.Likes(u)
			if len(mine) < 2 || len(mine) > 3 {
				t.Fatalf("user %d likes %v, want two or three", u, mine)
			}
			likes += float64(len(mine))
			for _, a := range c.Actions(u) {
				for _, x := range attributes[a.POI] {
					all++
					if slices.Contains(mine, x) {
						liked++
					}
				}
			}
			possible += float64(len(city.AttributeNames()))
		}
		if lift := liked / all / (likes / possible); lift < tc.low || lift > tc.high {
			t.Errorf("taste %g: liked attributes are %.2f times as common as chance, want %.2f to %.2f", tc.taste, lift, tc.low, tc.high)
		}
	}
}
