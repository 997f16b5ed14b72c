package media

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/poi"
)

func builtinOf(t *testing.T, edit func(*Config)) Encoder {
	t.Helper()
	c := Default()
	if edit != nil {
		edit(&c)
	}
	e, err := New(c, nil)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// picture draws a w x h PNG.
func picture(t testing.TB, w, h int, at func(x, y int) color.Color) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.Set(x, y, at(x, y))
		}
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func plain(c color.Color) func(int, int) color.Color {
	return func(int, int) color.Color { return c }
}

func norm(v []float32) float64 {
	var s float64
	for _, x := range v {
		s += float64(x) * float64(x)
	}
	return math.Sqrt(s)
}

func cosine(a, b []float32) float64 {
	var s float64
	for i := range a {
		s += float64(a[i]) * float64(b[i])
	}
	return s / norm(a) / norm(b)
}

// Text has norm 1 and its own room; the image has its own; equal items have equal
// vectors whatever stands beside them.
func TestBuiltinParts(t *testing.T) {
	e := builtinOf(t, nil)
	red := picture(t, 40, 30, plain(color.RGBA{R: 255, A: 255}))
	v := mustEncode(t, e, Item{Text: "Hot spring inn"}, Item{Image: red}, Item{Text: "Hot spring inn", Image: red}, Item{}, Item{Text: "Hot spring inn"})
	room := e.Dim() - layoutDim
	for i, want := range []float64{1, 0, 1, 0} {
		if got := norm(v[i][:room]); math.Abs(got-want) > 1e-6 {
			t.Errorf("item %d: the text's norm is %v, want %v", i, got, want)
		}
	}
	if norm(v[0][room:]) != 0 || norm(v[1][room:]) == 0 || norm(v[3]) != 0 {
		t.Error("an absent image or item left a trace, or an image left none")
	}
	if !slices.Equal(v[0], v[4]) || !slices.Equal(v[2][:room], v[0][:room]) || !slices.Equal(v[2][room:], v[1][room:]) {
		t.Error("parts depend on each other or on the other items")
	}
	if text := builtinOf(t, func(c *Config) { c.Image = ImageNone }); text.Name() == e.Name() || norm(mustEncode(t, text, Item{Image: red})[0]) != 0 {
		t.Error("image: none reads the image, or has the name of the other")
	}
}

func TestSplitWords(t *testing.T) {
	for text, want := range map[string][]string{
		"":                               nil,
		"Hot-spring inn, 42nd St.":       {"hot", "spring", "inn", "42nd", "st"},
		"CAFÉ Ünlü":                      {"café", "ünlü"},
		"北京 hot火锅":                       {"北", "京", "hot", "火", "锅"},
		"don't \x00 — 5★":                {"don", "t", "5"},
		strings.Repeat("x", maxWord+9):   {strings.Repeat("x", maxWord)},
		"cafe\u0301 d'été\u200bhidden\t": {"cafe\u0301", "d", "été", "hidden"},
	} {
		if got := splitWords(text); !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

// By hand: counts enter as 1+ln(count) with the sign of the top bit, at the rest
// modulo the room, then the norm is set.
func TestFold(t *testing.T) {
	dst := make([]float32, 5)
	fold(dst, []uint64{7, 1<<63 | 8, 7, 7}, 2)
	a := 1 + math.Log(3) // at 7%5
	scale := 2 / math.Sqrt(a*a+1)
	for i, want := range []float64{0, 0, a * scale, -scale, 0} {
		if math.Abs(float64(dst[i])-want) > 1e-6 {
			t.Errorf("place %d holds %v, want %v", i, dst[i], want)
		}
	}
}

// Hashes are part of the format: a change must come with a new builtinVersion.
func TestHashGolden(t *testing.T) {
	for text, want := range map[string]uint64{"": 0x931aae91b01677e1, "spring": 0x45b90f93e3df8546} {
		if got := hash("w", text); got != want {
			t.Errorf("hash of %q is %#x, was %#x; raise builtinVersion", text, got, want)
		}
	}
}

func TestBuiltinProperties(t *testing.T) {
	e := builtinOf(t, nil)
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.String().Draw(t, "text")
		v, err := e.Encode(context.Background(), []Item{{Text: text}, {Text: strings.ToUpper(text)}, {Text: "  " + text + "\n"}})
		if err != nil {
			t.Fatal(err)
		}
		if err := checkVector(v[0], e.Dim()); err != nil {
			t.Fatal(err)
		}
		n := norm(v[0]) // two words may cancel each other, one cannot
		if words := len(splitWords(text)); n > 1+1e-5 || (n != 0 && words == 0) || (n < wordNorm-1e-5 && words == 1) {
			t.Fatalf("norm %v of %d words", n, words)
		}
		if !slices.Equal(v[0], v[2]) {
			t.Fatal("outer white space changes the vector")
		}
	})
}

// Near spellings are nearer than other words, thanks to the character n-grams.
func TestBuiltinNearSpelling(t *testing.T) {
	v := mustEncode(t, builtinOf(t, nil), Item{Text: "restaurant"}, Item{Text: "restaurants"}, Item{Text: "swimming"})
	if near, far := cosine(v[0], v[1]), cosine(v[0], v[2]); near < far+0.1 {
		t.Errorf("restaurant is %.2f near restaurants and %.2f near swimming", near, far)
	}
}

// attributes are planted in synthetic reviews as one word out of two.
var attributes = [][]string{{"onsen", "bathhouse"}, {"jazz", "piano"}}

// synthetic makes a place of 60 words, most of them noise.
func synthetic(rng *rand.Rand) (it Item, has []bool) {
	words := []string{fmt.Sprintf("House%d", rng.IntN(5000)), fmt.Sprintf("%d Street%d", rng.IntN(200), rng.IntN(300))}
	has = make([]bool, len(attributes))
	for len(words) < 60 {
		words = append(words, fmt.Sprintf("word%d", int(math.Exp(rng.Float64()*math.Log(1500)))))
	}
	for a, names := range attributes {
		if has[a] = rng.Float64() < 0.3; has[a] {
			words[5+rng.IntN(50)] = names[rng.IntN(len(names))]
		}
	}
	return Item{Text: strings.Join(words, " ")}, has
}

// probe fits a logistic regression on the first n rows and returns the AUC on the
// others.
func probe(vectors [][]float32, label []bool, n int) float64 {
	w := make([]float64, len(vectors[0])+1)
	score := func(v []float32) float64 {
		s := w[len(v)]
		for i, x := range v {
			s += w[i] * float64(x)
		}
		return s
	}
	for epoch := range 20 {
		rate := 8 / (1 + float64(epoch))
		for r, v := range vectors[:n] {
			g := 1 / (1 + math.Exp(-score(v)))
			if label[r] {
				g--
			}
			for i, x := range v {
				w[i] -= rate * (g*float64(x) + 1e-5*w[i])
			}
			w[len(v)] -= 0.1 * rate * g
		}
	}
	var wins, pairs float64
	for r := n; r < len(vectors); r++ {
		for q := n; q < len(vectors); q++ {
			if label[r] && !label[q] {
				pairs++
				if a, b := score(vectors[r]), score(vectors[q]); a > b {
					wins++
				} else if a == b {
					wins += 0.5
				}
			}
		}
	}
	return wins / pairs
}

// A linear map reads from the vector what one word of sixty says.
func TestBuiltinLinearProbe(t *testing.T) {
	const n, train = 1000, 800
	rng := rand.New(rand.NewPCG(1, 2))
	items := make([]Item, n)
	labels := make([][]bool, len(attributes))
	for i := range items {
		var has []bool
		items[i], has = synthetic(rng)
		for a, h := range has {
			labels[a] = append(labels[a], h)
		}
	}
	vectors := mustEncode(t, builtinOf(t, func(c *Config) { c.Image = ImageNone }), items...)
	for a, names := range attributes {
		auc := probe(vectors, labels[a], train)
		if auc < 0.9 {
			t.Errorf("the probe for %v has AUC %.3f, want at least 0.9", names, auc)
		}
	}
	shuffled := slices.Clone(labels[0])
	rng.Shuffle(n, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	if auc := probe(vectors, shuffled, train); auc > 0.6 {
		t.Errorf("the probe finds %.3f in shuffled labels", auc)
	}
}

// Means by hand: a picture red above and blue below, whatever its size and format.
func TestLayoutColours(t *testing.T) {
	red, blue := color.RGBA{R: 255, A: 255}, color.RGBA{B: 255, A: 255}
	half := func(h int) func(int, int) color.Color {
		return func(_, y int) color.Color {
			if y < h/2 {
				return red
			}
			return blue
		}
	}
	var v [layoutDim]float32
	if err := layout(picture(t, 64, 64, half(64)), v[:]); err != nil {
		t.Fatal(err)
	}
	for i := range grid * grid {
		c := red
		if i >= grid*grid/2 {
			c = blue
		}
		yy, cb, cr := color.RGBToYCbCr(c.R, c.G, c.B)
		want := []float64{(float64(yy) - 127.5) / 127.5 / grid, (float64(cb) - 128) / 128 / grid, (float64(cr) - 128) / 128 / grid}
		for j, w := range want {
			if math.Abs(float64(v[3*i+j])-w) > 0.01 { // the border is blended
				t.Errorf("cell %d, channel %d: %v, want %v", i, j, v[3*i+j], w)
			}
		}
	}
	var wide, lossy [layoutDim]float32
	if err := layout(picture(t, 200, 32, half(32)), wide[:]); err != nil {
		t.Fatal(err)
	}
	img, err := png.Decode(bytes.NewReader(picture(t, 64, 64, half(64))))
	if err != nil {
		t.Fatal(err)
	}
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, nil); err != nil {
		t.Fatal(err)
	}
	if err := layout(buf.Bytes(), lossy[:]); err != nil {
		t.Fatal(err)
	}
	if a, b := cosine(v[:], wide[:]), cosine(v[:], lossy[:]); a < 0.98 || b < 0.98 {
		t.Errorf("size or format change the description: cosine %v and %v", a, b)
	}
	var other [layoutDim]float32
	if err := layout(picture(t, 64, 64, plain(color.RGBA{G: 200, A: 255})), other[:]); err != nil {
		t.Fatal(err)
	}
	if c := cosine(v[:], other[:]); c > 0.7 {
		t.Errorf("a green picture is as near as %v", c)
	}
}

// Stripes show in their direction, and only in the quadrant that has them.
func TestLayoutEdges(t *testing.T) {
	stripes := func(along func(x, y int) int) []byte {
		return picture(t, thumb, thumb, func(x, y int) color.Color {
			if x < thumb/2 && y < thumb/2 && along(x, y)%4 < 2 {
				return color.White
			}
			return color.Black
		})
	}
	for want, along := range []func(x, y int) int{
		func(x, _ int) int { return x }, func(_, y int) int { return y },
		func(x, y int) int { return x + y }, func(x, y int) int { return x - y + thumb },
	} {
		var v [layoutDim]float32
		if err := layout(stripes(along), v[:]); err != nil {
			t.Fatal(err)
		}
		e := v[grid*grid*3:]
		for d := range directions {
			if d != want && e[d] >= e[want] {
				t.Errorf("stripes of direction %d: %v", want, e[:directions])
			}
		}
		for q := 1; q < quadrants; q++ {
			if e[q*directions+want] > e[want]/4 {
				t.Errorf("stripes of direction %d show in quadrant %d: %v", want, q, e)
			}
		}
	}
	var v [layoutDim]float32
	if err := layout(picture(t, 8, 8, plain(color.Gray{Y: 128})), v[:]); err != nil || norm(v[:]) > 0.02 {
		t.Errorf("plain grey gives norm %v, error %v", norm(v[:]), err)
	}
	if err := layout(picture(t, 8, 8, plain(color.Transparent)), v[:]); err != nil || norm(v[:]) > 0.02 {
		t.Errorf("nothing visible gives norm %v, error %v", norm(v[:]), err)
	}
}

func TestBadImages(t *testing.T) {
	good := picture(t, 16, 16, plain(color.White))
	huge := slices.Clone(good)
	copy(huge[16:24], []byte{0, 1, 0, 0, 0, 1, 0, 0}) // 65536 x 65536 in the PNG header
	for what, data := range map[string][]byte{"text": []byte("no image"), "cut": good[:len(good)/2], "huge": huge,
		"long": append(slices.Clone(good), make([]byte, maxImageBytes)...), "gif": []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00")} {
		_, err := builtinOf(t, nil).Encode(context.Background(), []Item{{Text: "fine"}, {Image: data}})
		if !errors.Is(err, poi.ErrBadInput) || !strings.Contains(err.Error(), "item 1") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// FuzzLayout: no bytes make the description panic or give numbers that are not
// finite.
func FuzzLayout(f *testing.F) {
	f.Add(picture(f, 3, 5, plain(color.White)))
	f.Add([]byte("\xff\xd8\xff"))
	f.Fuzz(func(t *testing.T, data []byte) {
		var v [layoutDim]float32
		if layout(data, v[:]) == nil {
			if err := checkVector(v[:], layoutDim); err != nil {
				t.Error(err)
			}
		}
	})
}
