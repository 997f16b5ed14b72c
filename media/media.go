// Package media turns what a catalog says of a place, text and one image, into a
// vector (Spacetime-GR section 3.2.2, Multimodal POI Embeddings). The vectors are
// frozen side information: networks read them through a projection of their own.
//
// An Encoder is one of three: "builtin" hashes words and describes colours and
// needs no model; "local" runs a sentence encoder of the BERT family from a folder;
// "endpoint" asks a server for embeddings. Vectors encodes a whole catalog and
// keeps the result on disk by content, so that a stopped run goes on where it was
// and a changed place alone is encoded again.
//
// Vectors depend on the encoder's name and on the item only: not on the other items
// of a call, on their order, nor on the machine beyond rounding. A modality that an
// item lacks adds zeros.
//
// Errors wrap poi.ErrBadInput for settings, images and model folders that cannot be
// used, ErrEncoder for an encoder that breaks its promise, or the errors of package
// endpoint. What was encoded before an error stays on disk.
package media

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute"

	"github.com/whereto/whereto/endpoint"
	"github.com/whereto/whereto/poi"
)

// ErrEncoder is returned when an encoder gives a vector of the wrong length, or
// with a number that is not finite.
var ErrEncoder = errors.New("encoder gave a wrong vector")

// Item is what is known of one place. Either field may be empty.
type Item struct {
	Text  string
	Image []byte // PNG or JPEG
}

// Encoder turns items into vectors.
type Encoder interface {
	// Name says which vectors these are: kind, version and every setting or weight
	// that changes them. Vectors of one name compare with each other.
	Name() string
	// Dim is the length of a vector.
	Dim() int
	// Encode returns one vector of Dim finite numbers per item. It is safe for
	// concurrent use.
	Encode(ctx context.Context, items []Item) ([][]float32, error)
}

// itemError says which item of a call could not be encoded.
type itemError struct {
	item int
	err  error
}

func (e *itemError) Error() string { return fmt.Sprintf("item %d: %v", e.item, e.err) }
func (e *itemError) Unwrap() error { return e.err }

// Text is the text of a place as the paper concatenates it: name, address, tags and
// reviews, one to a line. Empty parts are left out.
func Text(p poi.Place, d poi.Details) string {
	parts := make([]string, 0, 3+len(d.Reviews))
	for _, s := range append([]string{p.Name, d.Address, strings.Join(d.Tags, ", ")}, d.Reviews...) {
		if s = strings.TrimSpace(s); s != "" {
			parts = append(parts, s)
		}
	}
	return strings.Join(parts, "\n")
}

// Kinds of encoders.
const (
	None     = "none"
	Builtin  = "builtin"
	Local    = "local"
	Endpoint = "endpoint"
)

// What becomes of images.
const (
	ImageNone    = "none"     // not read
	ImageLayout  = "layout"   // builtin: grid of mean colours and coarse edges
	ImageDataURL = "data-url" // endpoint: sent as {"image": "data:image/png;base64,..."}
)

// Config chooses an encoder.
type Config struct {
	Kind      string `yaml:"kind"`       // none, builtin, local or endpoint
	Dim       int    `yaml:"dim"`        // length of a vector; local: 0 takes the model's
	Image     string `yaml:"image"`      // none, layout (builtin) or data-url (endpoint)
	Folder    string `yaml:"folder"`     // local: config.json, tokenizer.json, model.safetensors
	MaxTokens int    `yaml:"max_tokens"` // local: longer texts are cut; 0: as long as the model reads
	Prefix    string `yaml:"prefix"`     // local and endpoint: put before every text, such as "passage: "
	MaxText   int    `yaml:"max_text"`   // characters of a text that are read
	// Relative takes from every vector what places of its category have in common, and
	// then those of its neighbourhood: ids and coordinates tell that already, and beside
	// it the words that set a place apart are few.
	Relative bool `yaml:"relative"`
	// Standardize centres every number of the vectors over all places and gives it the
	// same spread, so that rare words count as much as common ones.
	Standardize bool            `yaml:"standardize"`
	Server      endpoint.Config `yaml:"server"` // endpoint
}

// Default is the encoder that needs nothing.
func Default() Config {
	return Config{Kind: Builtin, Dim: 512, Image: ImageLayout, MaxText: 8000, Relative: true, Standardize: true, Server: endpoint.Default()}
}

// Validate checks the settings that the kind uses.
func (c Config) Validate() error {
	images, ok := map[string][]string{None: {ImageNone, ImageLayout, ImageDataURL, ""}, Builtin: {ImageNone, ImageLayout},
		Local: {ImageNone}, Endpoint: {ImageNone, ImageDataURL}}[c.Kind]
	if !ok {
		return fmt.Errorf("media: %w: kind %q, must be none, builtin, local or endpoint", poi.ErrBadInput, c.Kind)
	}
	if !slices.Contains(images, c.Image) {
		return fmt.Errorf("media: %w: image %q with kind %s, must be one of %s", poi.ErrBadInput, c.Image, c.Kind, strings.Join(images, ", "))
	}
	if c.Kind == None {
		return nil
	}
	if c.MaxText < 1 || c.MaxText > 200_000 || len(c.Prefix) > 1000 {
		return fmt.Errorf("media: %w: max_text is %d, must be in [1, 200000]; prefix has %d bytes, at most 1000", poi.ErrBadInput, c.MaxText, len(c.Prefix))
	}
	least := map[string]int{Builtin: minBuiltin, Local: 0, Endpoint: 1}[c.Kind]
	if c.Dim < least || c.Dim > maxDim {
		return fmt.Errorf("media: %w: dim is %d, must be in [%d, %d] with kind %s", poi.ErrBadInput, c.Dim, least, maxDim, c.Kind)
	}
	if c.Kind == Local && (c.Folder == "" || c.MaxTokens < 0) {
		return fmt.Errorf("media: %w: kind local needs a folder (is %q) and max_tokens of at least 0 (is %d)", poi.ErrBadInput, c.Folder, c.MaxTokens)
	}
	if c.Kind == Endpoint {
		if err := c.Server.Validate(); err != nil {
			return fmt.Errorf("media: server: %w", err)
		}
	}
	return nil
}

// maxDim bounds the length of a vector.
const maxDim = 1 << 14

// New makes the encoder of c. The backend serves kind local and may be nil for the
// others. Kind none has no encoder: an error. The encoder of kind endpoint also has
// a method Stats() endpoint.Stats.
func New(c Config, backend compute.Backend) (Encoder, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	switch c.Kind {
	case Builtin:
		return newBuiltin(c), nil
	case Local:
		return newLocal(c, backend)
	case Endpoint:
		return newRemote(c)
	}
	return nil, fmt.Errorf("media: %w: kind %s has no encoder; choose builtin, local or endpoint", poi.ErrBadInput, c.Kind)
}

// cut returns at most n characters of s, valid UTF-8.
func cut(s string, n int) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	if len(s) <= n {
		return s
	}
	for i := range s {
		if n == 0 {
			return s[:i]
		}
		n--
	}
	return s
}

// scaleTo gives v the L2 norm given; a zero vector stays zero.
func scaleTo(v []float32, norm float64) {
	var sum float64
	for _, x := range v {
		sum += float64(x) * float64(x)
	}
	if sum == 0 {
		return
	}
	f := norm / math.Sqrt(sum)
	for i, x := range v {
		v[i] = float32(float64(x) * f)
	}
}
