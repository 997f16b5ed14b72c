package media

import (
	"context"
	"fmt"
	"math"
	"runtime"
	"slices"
	"sync"
	"unicode"
)

// The builtin vector has three parts, laid side by side:
//
//	words    single words, hashed
//	grams    pairs of words and n-grams of characters, hashed
//	picture  layoutDim numbers (see layout), only with image: layout
//
// Words have the larger part of the room and share it with nothing else, because
// what a review says of a place is often one word, and a linear map must be able to
// read it. Hashing is signed (Weinberger et al. 2009), so that collisions cancel on
// average; a count enters as 1+ln(count). Words have norm wordNorm and grams
// gramNorm, together 1.
const (
	builtinVersion = 1
	minBuiltin     = layoutDim + 64
	gramShare      = 4 // one part in gramShare of the text's room
	minGram        = 3
	maxGram        = 4
	maxWord        = 64 // characters; the rest of a longer word is not read
)

var (
	wordNorm = math.Sqrt(0.8)
	gramNorm = math.Sqrt(0.2)
)

// builtin is the encoder that needs no model.
type builtin struct {
	dim, words, grams int // numbers of the whole and of its text parts
	images            bool
	maxText           int
}

func newBuiltin(c Config) *builtin {
	b := &builtin{dim: c.Dim, images: c.Image == ImageLayout, maxText: c.MaxText}
	text := c.Dim
	if b.images {
		text -= layoutDim
	}
	b.grams = text / gramShare
	b.words = text - b.grams
	return b
}

// Name implements Encoder.
func (b *builtin) Name() string {
	image := ImageNone
	if b.images {
		image = ImageLayout
	}
	return fmt.Sprintf("builtin/%d dim=%d image=%s max_text=%d", builtinVersion, b.dim, image, b.maxText)
}

// Dim implements Encoder.
func (b *builtin) Dim() int { return b.dim }

// Encode implements Encoder. It spreads the items over all processors.
func (b *builtin) Encode(ctx context.Context, items []Item) ([][]float32, error) {
	out := make([][]float32, len(items))
	errs := make([]error, len(items))
	var wg sync.WaitGroup
	workers := min(runtime.GOMAXPROCS(0), len(items))
	for w := range workers {
		wg.Go(func() {
			for i := w; i < len(items) && ctx.Err() == nil; i += workers {
				out[i], errs[i] = b.encode(items[i])
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, fmt.Errorf("media: builtin: stopped: %w", context.Cause(ctx))
	}
	for i, err := range errs {
		if err != nil {
			return nil, fmt.Errorf("media: builtin: %w", &itemError{i, err})
		}
	}
	return out, nil
}

func (b *builtin) encode(it Item) ([]float32, error) {
	v := make([]float32, b.dim)
	words := splitWords(cut(it.Text, b.maxText))
	single := make([]uint64, len(words))
	var grams []uint64
	for i, w := range words {
		single[i] = hash("w", w)
		if i > 0 {
			grams = append(grams, hash("p", words[i-1]+" "+w))
		}
		grams = appendGrams(grams, w)
	}
	fold(v[:b.words], single, wordNorm)
	fold(v[b.words:b.words+b.grams], grams, gramNorm)
	if b.images && len(it.Image) > 0 {
		if err := layout(it.Image, v[b.words+b.grams:]); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// splitWords returns the words of a text in lower case: runs of letters, marks and
// digits. A letter of a script written without spaces is a word of its own.
func splitWords(text string) []string {
	var words []string
	var word []rune
	end := func() {
		if len(word) > 0 {
			words = append(words, string(word))
			word = word[:0]
		}
	}
	for _, r := range text {
		switch {
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai):
			end()
			words = append(words, string(r))
		case unicode.IsLetter(r) || unicode.IsMark(r) || unicode.IsDigit(r):
			if len(word) < maxWord {
				word = append(word, unicode.ToLower(r))
			}
		default:
			end()
		}
	}
	end()
	return words
}

// appendGrams adds the character n-grams of a word with its ends marked, so that
// spellings that differ by an ending or a typing error stay near.
func appendGrams(all []uint64, word string) []uint64 {
	runes := []rune("<" + word + ">")
	for n := minGram; n <= maxGram; n++ {
		for i := 0; i+n <= len(runes); i++ {
			all = append(all, hash("c", string(runes[i:i+n])))
		}
	}
	return all
}

// hash is FNV-1a of kind and text, with its bits mixed (the finaliser of
// SplitMix64) because FNV's low bits are weak for short texts.
func hash(kind, text string) uint64 {
	x := uint64(14695981039346656037)
	for _, s := range [2]string{kind, text} {
		for i := range len(s) {
			x = (x ^ uint64(s[i])) * 1099511628211
		}
	}
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// fold adds the features, sorted so that sums round alike, into dst and gives it
// the norm. The top bit of a hash is the sign, the others choose the place.
func fold(dst []float32, features []uint64, norm float64) {
	slices.Sort(features)
	for from := 0; from < len(features); {
		to := from
		for to < len(features) && features[to] == features[from] {
			to++
		}
		weight := 1 + math.Log(float64(to-from))
		if features[from]>>63 == 1 {
			weight = -weight
		}
		dst[features[from]<<1>>1%uint64(len(dst))] += float32(weight)
		from = to
	}
	scaleTo(dst, norm)
}
