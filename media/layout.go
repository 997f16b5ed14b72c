package media

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	_ "image/jpeg" // formats that images may have
	_ "image/png"
	"math"

	"golang.org/x/image/draw"

	"github.com/whereto/whereto/poi"
)

// The picture part describes an image scaled to thumb x thumb pixels, in the manner
// of the colour layout and edge histogram descriptors of MPEG-7 (ISO/IEC 15938-3):
// the mean colour of grid x grid cells as luma and two colour differences, then, for
// each quadrant, how much of the luma's change runs in each of four directions.
const (
	thumb      = 32
	grid       = 4
	directions = 4
	quadrants  = 4
	layoutDim  = grid*grid*3 + quadrants*directions // 64
)

// Limits of an image.
const (
	maxImageBytes  = 20 << 20
	maxImagePixels = 40_000_000
)

// layout writes the layoutDim numbers of an image into dst. Colours are centred, so
// that grey is zero, and scaled so that the part's norm is about that of the text.
func layout(data []byte, dst []float32) error {
	if len(data) > maxImageBytes {
		return fmt.Errorf("%w: image of %d bytes, at most %d", poi.ErrBadInput, len(data), maxImageBytes)
	}
	c, format, err := image.DecodeConfig(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%w: image of %d bytes is neither PNG nor JPEG: %v", poi.ErrBadInput, len(data), err)
	}
	if c.Width < 1 || c.Height < 1 || c.Width > maxImagePixels/c.Height {
		return fmt.Errorf("%w: image of %d x %d pixels, at most %d in all", poi.ErrBadInput, c.Width, c.Height, maxImagePixels)
	}
	src, _, err := image.Decode(bytes.NewReader(data))
	if err != nil {
		return fmt.Errorf("%w: damaged %s image of %d bytes: %v", poi.ErrBadInput, format, len(data), err)
	}
	small := image.NewRGBA(image.Rect(0, 0, thumb, thumb))
	draw.Draw(small, small.Bounds(), image.NewUniform(color.Gray{Y: 128}), image.Point{}, draw.Src) // behind what is transparent
	draw.BiLinear.Scale(small, small.Bounds(), src, src.Bounds(), draw.Over, nil)
	var luma [thumb][thumb]float64
	colours(small, &luma, dst[:grid*grid*3])
	edges(&luma, dst[grid*grid*3:])
	return nil
}

// colours fills luma, each in [-1, 1], and the means of the cells.
func colours(img *image.RGBA, luma *[thumb][thumb]float64, dst []float32) {
	const cell = thumb / grid
	var sums [grid * grid * 3]float64
	for y := range thumb {
		for x := range thumb {
			p := img.RGBAAt(x, y)
			yy, cb, cr := color.RGBToYCbCr(p.R, p.G, p.B)
			luma[y][x] = (float64(yy) - 127.5) / 127.5
			at := 3 * (y/cell*grid + x/cell)
			sums[at] += luma[y][x]
			sums[at+1] += (float64(cb) - 128) / 128
			sums[at+2] += (float64(cr) - 128) / 128
		}
	}
	scale := 1 / float64(cell*cell) / grid // mean, then the norm of grid*grid cells
	for i, s := range sums {
		dst[i] = float32(s * scale)
	}
}

// edges fills, for each quadrant, the mean change of luma across vertical,
// horizontal and the two diagonal lines, by 2 x 2 differences.
func edges(luma *[thumb][thumb]float64, dst []float32) {
	const half = thumb / 2
	var sums [quadrants][directions]float64
	for y := range thumb - 1 {
		for x := range thumb - 1 {
			a, b, c, d := luma[y][x], luma[y][x+1], luma[y+1][x], luma[y+1][x+1]
			q := &sums[y/half*2+x/half]
			q[0] += math.Abs(a - b + c - d)
			q[1] += math.Abs(a + b - c - d)
			q[2] += math.Abs(a-d) * math.Sqrt2
			q[3] += math.Abs(b-c) * math.Sqrt2
		}
	}
	for i, q := range sums {
		for j, s := range q {
			dst[i*directions+j] = float32(s / (half * half))
		}
	}
}
