package endpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
)

// Limits of embeddings.
const (
	maxText      = 1 << 20  // bytes of one text
	maxImage     = 32 << 20 // bytes of one data URL
	maxRequest   = 48 << 20 // bytes of the inputs of one request
	maxDimension = 1 << 16
)

// Input is one thing to embed: a text, or an image as a data URL
// ("data:image/png;base64,..."), which some multimodal servers take as
// {"image": ...}. Exactly one field is set.
type Input struct {
	Text  string
	Image string
}

// Embed returns one vector per input, in their order, as the server made them (not
// normalised). Texts are sent with invalid UTF-8 replaced and runs of white space
// as one space. Equal inputs are asked once. All vectors have dim numbers, or any
// one length if dim is 0. On an error the vectors that arrived are in the cache.
func (c *Client) Embed(ctx context.Context, inputs []Input, dim int) ([][]float32, error) {
	if dim < 0 || dim > maxDimension {
		return nil, fmt.Errorf("endpoint: embed: %w: dimension %d, must be in [0, %d]", ErrInput, dim, maxDimension)
	}
	clean := make([]Input, len(inputs))
	keys := make([]Key, len(inputs))
	found := make(map[Key][]float32, len(inputs))
	var missing []int // positions of first occurrences
	for i, in := range inputs {
		var err error
		if clean[i], keys[i], err = c.normalise(in); err != nil {
			return nil, fmt.Errorf("endpoint: embed: input %d: %w", i, err)
		}
		if _, seen := found[keys[i]]; seen {
			continue
		}
		v, err := c.lookupVector(keys[i], dim)
		if err != nil {
			return nil, fmt.Errorf("endpoint: embed: %w", err)
		}
		if found[keys[i]] = v; v == nil {
			missing = append(missing, i)
		}
	}
	if err := c.fetch(ctx, c.batches(clean, missing), clean, keys, dim, found); err != nil {
		return nil, err
	}
	out := make([][]float32, len(inputs))
	for i, k := range keys {
		out[i] = slices.Clone(found[k]) // equal inputs share no memory
		if len(out[i]) != len(out[0]) {
			return nil, fmt.Errorf("endpoint: embed: %w: vectors of %d and of %d numbers from one model %s; empty the cache folder if the model changed",
				ErrAnswer, len(out[0]), len(out[i]), c.cfg.Model)
		}
	}
	return out, nil
}

// normalise checks an input and returns what is sent, and its key.
func (c *Client) normalise(in Input) (Input, Key, error) {
	switch {
	case (in.Text == "") == (in.Image == ""):
		return in, Key{}, fmt.Errorf("%w: want a text or an image, not both and not none", ErrInput)
	case in.Image != "":
		if !strings.HasPrefix(in.Image, "data:image/") || len(in.Image) > maxImage {
			return in, Key{}, fmt.Errorf("%w: an image of %d bytes must be a data:image/... URL of at most %d", ErrInput, len(in.Image), maxImage)
		}
		return in, KeyOf("embedding", c.cfg.Model, "image", in.Image), nil
	}
	in.Text = strings.Join(strings.Fields(strings.ToValidUTF8(in.Text, "\ufffd")), " ")
	if in.Text == "" || len(in.Text) > maxText {
		return in, Key{}, fmt.Errorf("%w: a text of %d bytes without outer white space, must be in [1, %d]", ErrInput, len(in.Text), maxText)
	}
	return in, KeyOf("embedding", c.cfg.Model, "text", in.Text), nil
}

// lookupVector returns nil if the cache has no vector of the wanted dimension.
func (c *Client) lookupVector(k Key, dim int) ([]float32, error) {
	data, ok, err := c.lookup(k, Vector)
	if err != nil || !ok || (dim > 0 && len(data) != 4*dim) {
		return nil, err
	}
	v, err := decodeVector(data)
	if err != nil {
		return nil, err
	}
	c.hits.Add(1)
	return v, nil
}

// batches groups inputs of one modality, at most Batch of them and maxRequest bytes.
func (c *Client) batches(inputs []Input, missing []int) [][]int {
	var all [][]int
	size := 0
	for _, i := range missing {
		n := len(inputs[i].Text) + len(inputs[i].Image)
		if last := len(all) - 1; last >= 0 && len(all[last]) < c.cfg.Batch && size+n <= maxRequest &&
			(inputs[all[last][0]].Image == "") == (inputs[i].Image == "") {
			all[last] = append(all[last], i)
			size += n
			continue
		}
		all, size = append(all, []int{i}), n
	}
	return all
}

// fetch asks for all batches, Concurrency at a time, and puts the vectors into
// found and into the cache. The first error stops the others.
func (c *Client) fetch(ctx context.Context, batches [][]int, inputs []Input, keys []Key, dim int, found map[Key][]float32) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var mu sync.Mutex
	var first error
	work := make(chan []int)
	var wg sync.WaitGroup
	for range min(c.cfg.Concurrency, len(batches)) {
		wg.Go(func() {
			for batch := range work {
				vectors, err := c.embedBatch(ctx, batch, inputs, dim)
				mu.Lock()
				for j, i := range batch {
					if err == nil {
						found[keys[i]] = vectors[j]
						err = c.keep(keys[i], Vector, encodeVector(vectors[j]))
					}
				}
				if err != nil && first == nil {
					first = err
					cancel(err)
				}
				mu.Unlock()
			}
		})
	}
	for _, b := range batches {
		if ctx.Err() != nil {
			break
		}
		work <- b
	}
	close(work)
	wg.Wait()
	if first == nil && ctx.Err() != nil {
		first = fmt.Errorf("endpoint: embed: stopped: %w", context.Cause(ctx))
	}
	return first
}

// embedRequest is the body of embeddings; an input is a text or {"image": data URL}.
type embedRequest struct {
	Model          string `json:"model"`
	Input          []any  `json:"input"`
	EncodingFormat string `json:"encoding_format"`
}

// embedBatch asks for the vectors of one batch.
func (c *Client) embedBatch(ctx context.Context, batch []int, inputs []Input, dim int) ([][]float32, error) {
	request := embedRequest{Model: c.cfg.Model, EncodingFormat: "float"}
	for _, i := range batch {
		if inputs[i].Image == "" {
			request.Input = append(request.Input, inputs[i].Text)
		} else {
			request.Input = append(request.Input, map[string]string{"image": inputs[i].Image})
		}
	}
	var vectors [][]float32
	err := c.call(ctx, fmt.Sprintf("embed %d inputs with %s", len(batch), c.cfg.Model), "embeddings", request, false,
		func(body []byte) error {
			var tokens int64
			var err error
			if vectors, tokens, err = decodeEmbeddings(body, len(batch), dim); err == nil {
				c.promptTokens.Add(tokens)
			}
			return err
		})
	return vectors, err
}

// decodeEmbeddings reads an answer that must hold n vectors of dim numbers (any
// one length if dim is 0).
func decodeEmbeddings(body []byte, n, dim int) (vectors [][]float32, tokens int64, err error) {
	var answer struct {
		Data []struct {
			Index     *int            `json:"index"`
			Embedding json.RawMessage `json:"embedding"`
		} `json:"data"`
		Usage struct {
			PromptTokens int64 `json:"prompt_tokens"`
		} `json:"usage"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return nil, 0, fmt.Errorf("%w: not the JSON of embeddings: %v", ErrAnswer, err)
	}
	if len(answer.Data) != n {
		return nil, 0, fmt.Errorf("%w: %d vectors for %d inputs", ErrAnswer, len(answer.Data), n)
	}
	vectors = make([][]float32, n)
	for j, d := range answer.Data {
		at := j // servers that number nothing answer in order
		if d.Index != nil {
			at = *d.Index
		}
		if at < 0 || at >= n || vectors[at] != nil {
			return nil, 0, fmt.Errorf("%w: index %d is used twice or outside [0, %d)", ErrAnswer, at, n)
		}
		v, err := parseVector(d.Embedding)
		if err != nil {
			return nil, 0, fmt.Errorf("%w: vector %d: %w", ErrAnswer, at, err)
		}
		if dim == 0 {
			dim = len(v)
		}
		if len(v) != dim || dim > maxDimension {
			return nil, 0, fmt.Errorf("%w: vector %d has %d numbers, want %d; set the dimension that the model has", ErrAnswer, at, len(v), dim)
		}
		vectors[at] = v
	}
	return vectors, max(0, answer.Usage.PromptTokens), nil
}

func parseVector(raw json.RawMessage) ([]float32, error) {
	if bytes.IndexByte(raw, 'n') >= 0 { // encoding/json would read null as zero
		return nil, errors.New("holds null or text instead of numbers")
	}
	var v []float32
	if err := json.Unmarshal(raw, &v); err != nil { // also refuses what float32 cannot hold
		return nil, fmt.Errorf("not a list of float32 numbers: %w", err)
	}
	return v, finite(v)
}

// finite refuses a vector that is empty, all zero, or holds NaN or infinity.
func finite(v []float32) error {
	zero := true
	for i, x := range v {
		if math.IsNaN(float64(x)) || math.IsInf(float64(x), 0) {
			return fmt.Errorf("number %d is %v", i, x)
		}
		zero = zero && x == 0
	}
	if zero {
		return fmt.Errorf("all of its %d numbers are zero", len(v))
	}
	return nil
}
