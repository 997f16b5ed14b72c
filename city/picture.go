package city

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"sync"
)

const (
	// pictureSize is the width and height in pixels.
	pictureSize = 32
	// shownShare is how likely the picture shows an attribute the place has,
	// mistakenShare one it has not.
	shownShare, mistakenShare = 0.75, 0.06
	// grain is the share of pixels in another shade of their colour.
	grain = 0.15
)

// Colours of a picture's palette, each with a darker shade after it.
const (
	ground = 2 * iota
	sky
	water
	gold
	leaf
	lamp
	stroke
	colours
)

// hues are the grounds by group: red, green, blue.
var hues = [groups][3]float64{
	food: {214, 142, 92}, night: {122, 92, 160}, shops: {206, 186, 120}, moving: {118, 160, 196},
	outdoors: {132, 178, 110}, arts: {190, 130, 150}, staying: {170, 160, 176}, plain: {160, 160, 154},
}

// canvas is a picture being drawn.
type canvas struct {
	rng *rand.Rand
	*image.Paletted
}

// rect fills a rectangle, cut to the picture.
func (p *canvas) rect(x0, y0, x1, y1 int, colour uint8) {
	for y := max(y0, 0); y < min(y1, pictureSize); y++ {
		for x := max(x0, 0); x < min(x1, pictureSize); x++ {
			p.SetColorIndex(x, y, colour)
		}
	}
}

// disc fills a circle.
func (p *canvas) disc(cx, cy, r int, colour uint8) {
	for y := cy - r; y <= cy+r; y++ {
		for x := cx - r; x <= cx+r; x++ {
			if (x-cx)*(x-cx)+(y-cy)*(y-cy) <= r*r && image.Pt(x, y).In(p.Rect) {
				p.SetColorIndex(x, y, colour)
			}
		}
	}
}

// motifs are the attributes a picture can show, in the order of drawing, and how.
var motifs = []struct {
	a    attribute
	draw func(*canvas)
}{
	{fineView, func(p *canvas) { // a horizon and a sun
		p.rect(0, 0, pictureSize, 9+p.rng.IntN(4), sky)
		p.disc(6+p.rng.IntN(20), 5, 3, gold)
	}},
	{hotSpring, func(p *canvas) { // a pool along the lower edge
		top := 22 + p.rng.IntN(3)
		p.rect(0, top, pictureSize, pictureSize, water)
		for x := p.rng.IntN(4); x < pictureSize; x += 5 {
			p.rect(x, top-4, x+1, top, sky) // steam
		}
	}},
	{vegan, func(p *canvas) { // leaves
		for range 6 {
			p.disc(2+p.rng.IntN(28), 10+p.rng.IntN(14), 2, leaf)
		}
	}},
	{familyFriendly, func(p *canvas) { // balloons
		for i := range 5 {
			p.disc(3+p.rng.IntN(26), 9+p.rng.IntN(12), 2, []uint8{gold, water, leaf, lamp, sky}[i])
		}
	}},
	{refined, func(p *canvas) { // a frame
		p.rect(0, 0, pictureSize, 2, gold)
		p.rect(0, pictureSize-2, pictureSize, pictureSize, gold)
		p.rect(0, 0, 2, pictureSize, gold)
		p.rect(pictureSize-2, 0, pictureSize, pictureSize, gold)
	}},
	{openLate, func(*canvas) {}}, // a dark palette
}

// encoders are buffers of the PNG encoder for the next picture.
type encoders struct{ pool sync.Pool }

func (e *encoders) Get() *png.EncoderBuffer  { b, _ := e.pool.Get().(*png.EncoderBuffer); return b }
func (e *encoders) Put(b *png.EncoderBuffer) { e.pool.Put(b) }

var encoder = png.Encoder{CompressionLevel: png.BestSpeed, BufferPool: &encoders{}}

// picture draws a place: the ground by its group, a house by its category, and
// motifs of some of its attributes, with noise.
func (c *City) picture(place int) []byte {
	rng, s := stream(c.cfg.Seed, streamPicture, place), &c.spots[place]
	var show traits
	for _, m := range motifs {
		if x := rng.Float64(); s.traits.has(m.a) && x < shownShare || x < mistakenShare {
			show |= 1 << m.a
		}
	}
	p := &canvas{rng, image.NewPaletted(image.Rect(0, 0, pictureSize, pictureSize), palette(rng, groupOf[s.category], show.has(openLate)))}
	// The house: its width and the rows of its windows go with the category.
	width, rows := 8+int(s.category)%3*4+rng.IntN(3), 1+int(s.category)/3%3
	left, top := 3+rng.IntN(pictureSize-width-6), 20-4*rows-rng.IntN(3)
	p.rect(left, top, left+width, 27, stroke)
	for r := range rows {
		for x := left + 2; x+2 <= left+width-1; x += 4 {
			p.rect(x, top+2+4*r, x+2, top+4+4*r, lamp)
		}
	}
	for _, m := range motifs {
		if show.has(m.a) {
			m.draw(p)
		}
	}
	for i := range p.Pix {
		if rng.Float64() < grain {
			p.Pix[i] ^= 1
		}
	}
	var out bytes.Buffer
	if encoder.Encode(&out, p) != nil {
		return nil // cannot be: memory takes every write, and 14 colours fit a palette
	}
	return out.Bytes()
}

// palette draws the colours: the group's hue for the ground, all dark at night.
func palette(rng *rand.Rand, g group, dark bool) color.Palette {
	light := 0.85 + 0.3*rng.Float64()
	if dark {
		light *= 0.4
	}
	base := [colours / 2][3]float64{hues[g], {176, 208, 232}, {92, 176, 206}, {228, 190, 70}, {84, 160, 76}, {240, 226, 170}, {110, 84, 74}}
	out := make(color.Palette, 0, colours)
	for _, rgb := range base {
		for _, shade := range []float64{1, 0.85} {
			k := color.RGBA{A: 255}
			for i, channel := range []*uint8{&k.R, &k.G, &k.B} {
				*channel = uint8(math.Min(255, math.Max(0, light*shade*rgb[i]+6*rng.NormFloat64())))
			}
			out = append(out, k)
		}
	}
	return out
}
