package media

import (
	"context"
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/whereto/whereto/endpoint"
	"github.com/whereto/whereto/poi"
)

// remote asks a server for embeddings. Text and image are embedded apart, each is
// given L2 norm 1, and the vector of an item is their mean, again of norm 1 (paper
// section 3.2.2: each modality pooled separately, then aggregated).
type remote struct {
	client  *endpoint.Client
	dim     int
	images  bool
	prefix  string
	maxText int
}

func newRemote(c Config) (*remote, error) {
	client, err := endpoint.New(c.Server)
	if err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	return &remote{client: client, dim: c.Dim, images: c.Image == ImageDataURL, prefix: c.Prefix, maxText: c.MaxText}, nil
}

// Name implements Encoder.
func (r *remote) Name() string {
	image := ImageNone
	if r.images {
		image = ImageDataURL
	}
	return fmt.Sprintf("endpoint/1 model=%q dim=%d image=%s prefix=%q max_text=%d", r.client.Config().Model, r.dim, image, r.prefix, r.maxText)
}

// Dim implements Encoder.
func (r *remote) Dim() int { return r.dim }

// Stats returns the counts of the client behind the encoder.
func (r *remote) Stats() endpoint.Stats { return r.client.Stats() }

// Encode implements Encoder.
func (r *remote) Encode(ctx context.Context, items []Item) ([][]float32, error) {
	out := make([][]float32, len(items))
	var inputs []endpoint.Input
	var owner []int
	for i, it := range items {
		out[i] = make([]float32, r.dim)
		if strings.TrimSpace(it.Text) != "" {
			inputs, owner = append(inputs, endpoint.Input{Text: r.prefix + cut(it.Text, r.maxText)}), append(owner, i)
		}
		if r.images && len(it.Image) > 0 {
			url, err := dataURL(it.Image)
			if err != nil {
				return nil, fmt.Errorf("media: endpoint: %w", &itemError{i, err})
			}
			inputs, owner = append(inputs, endpoint.Input{Image: url}), append(owner, i)
		}
	}
	vectors, err := r.client.Embed(ctx, inputs, r.dim)
	if err != nil {
		return nil, fmt.Errorf("media: %w", err)
	}
	for j, v := range vectors {
		scaleTo(v, 1)
		for k, x := range v {
			out[owner[j]][k] += x
		}
	}
	for _, v := range out {
		scaleTo(v, 1)
	}
	return out, nil
}

func dataURL(data []byte) (string, error) {
	kind := http.DetectContentType(data)
	if len(data) > maxImageBytes || (kind != "image/png" && kind != "image/jpeg") {
		return "", fmt.Errorf("%w: image of %d bytes and type %s, want PNG or JPEG of at most %d", poi.ErrBadInput, len(data), kind, maxImageBytes)
	}
	return "data:" + kind + ";base64," + base64.StdEncoding.EncodeToString(data), nil
}
