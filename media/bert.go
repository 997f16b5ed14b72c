package media

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" //nolint:revive // graph code reads as formulas
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/poi"
)

// bertConfig is what config.json says of a BERT encoder (Devlin et al. 2019).
// Letters of shapes: B texts, T tokens, D Hidden, H Heads, V Vocab.
type bertConfig struct {
	Type       string  `json:"model_type"`
	Hidden     int     `json:"hidden_size"`
	Layers     int     `json:"num_hidden_layers"`
	Heads      int     `json:"num_attention_heads"`
	FFN        int     `json:"intermediate_size"`
	Positions  int     `json:"max_position_embeddings"`
	Types      int     `json:"type_vocab_size"`
	Vocab      int     `json:"vocab_size"`
	Eps        float64 `json:"layer_norm_eps"`
	Activation string  `json:"hidden_act"`
	Position   string  `json:"position_embedding_type"`

	firstToken bool // pooling: the first token's state instead of the mean
}

// readBertConfig reads config.json and, where they exist, the files of the sentence
// encoder around it: modules.json, 1_Pooling/config.json, sentence_bert_config.json.
func readBertConfig(folder string, digest io.Writer) (c bertConfig, maxTokens int, err error) {
	c.Eps, c.Activation, c.Types = 1e-12, "gelu", 2 // defaults of the reference implementation
	data, err := readLimited(folder, "config.json", maxJSON, digest)
	if err != nil {
		return c, 0, err
	}
	if err := json.Unmarshal(data, &c); err != nil {
		return c, 0, fmt.Errorf("%w: config.json: %v", poi.ErrBadInput, err)
	}
	if err := c.check(); err != nil {
		return c, 0, err
	}
	var modules []struct {
		Type string `json:"type"`
	}
	if err := readOptional(folder, "modules.json", digest, &modules); err != nil {
		return c, 0, err
	}
	for _, m := range modules {
		if !slices.Contains([]string{"sentence_transformers.models.Transformer", "sentence_transformers.models.Pooling", "sentence_transformers.models.Normalize"}, m.Type) {
			return c, 0, fmt.Errorf("%w: modules.json names %s; only Transformer, Pooling and Normalize are supported", poi.ErrBadInput, m.Type)
		}
	}
	pooling := struct {
		Mean  bool `json:"pooling_mode_mean_tokens"`
		First bool `json:"pooling_mode_cls_token"`
	}{Mean: true}
	if err := readOptional(folder, "1_Pooling/config.json", digest, &pooling); err != nil {
		return c, 0, err
	}
	if pooling.Mean == pooling.First {
		return c, 0, fmt.Errorf("%w: 1_Pooling/config.json asks for neither or both of mean and first token; one of them is supported", poi.ErrBadInput)
	}
	c.firstToken = pooling.First
	limit := struct {
		Max int `json:"max_seq_length"`
	}{Max: c.Positions}
	if err := readOptional(folder, "sentence_bert_config.json", digest, &limit); err != nil {
		return c, 0, err
	}
	if limit.Max < 1 || limit.Max > c.Positions {
		limit.Max = c.Positions
	}
	return c, limit.Max, nil
}

// check refuses other families and sizes that make no sense.
func (c bertConfig) check() error {
	if c.Type != "bert" || (c.Position != "" && c.Position != "absolute") {
		return fmt.Errorf("%w: config.json: model_type %q with positions %q; only bert with absolute positions is supported", poi.ErrBadInput, c.Type, c.Position)
	}
	for _, s := range []struct {
		name   string
		v, top int
	}{{"hidden_size", c.Hidden, maxDim}, {"num_hidden_layers", c.Layers, 128}, {"num_attention_heads", c.Heads, 256}, {"intermediate_size", c.FFN, 1 << 16},
		{"max_position_embeddings", c.Positions, 1 << 16}, {"type_vocab_size", c.Types, 64}, {"vocab_size", c.Vocab, 1 << 22}} {
		if s.v < 1 || s.v > s.top {
			return fmt.Errorf("%w: config.json: %s is %d, must be in [1, %d]", poi.ErrBadInput, s.name, s.v, s.top)
		}
	}
	if c.Hidden%c.Heads != 0 || !(c.Eps > 0 && c.Eps < 1) {
		return fmt.Errorf("%w: config.json: hidden_size %d is no multiple of %d heads, or layer_norm_eps %v is outside (0, 1)", poi.ErrBadInput, c.Hidden, c.Heads, c.Eps)
	}
	if !slices.Contains([]string{"gelu", "gelu_new", "relu"}, c.Activation) {
		return fmt.Errorf("%w: config.json: hidden_act %q, must be gelu, gelu_new or relu", poi.ErrBadInput, c.Activation)
	}
	return nil
}

const wordEmbeddings = "embeddings.word_embeddings.weight"

// variables lists the weights the network reads; linear maps are [out, in].
func (c bertConfig) variables() map[string][]int {
	d := c.Hidden
	v := map[string][]int{wordEmbeddings: {c.Vocab, d}, "embeddings.position_embeddings.weight": {c.Positions, d},
		"embeddings.token_type_embeddings.weight": {c.Types, d}, "embeddings.LayerNorm.weight": {d}, "embeddings.LayerNorm.bias": {d}}
	for i := range c.Layers {
		p := layerName(i)
		for name, shape := range map[string][2]int{"attention.self.query": {d, d}, "attention.self.key": {d, d}, "attention.self.value": {d, d},
			"attention.output.dense": {d, d}, "intermediate.dense": {c.FFN, d}, "output.dense": {d, c.FFN}} {
			v[p+name+".weight"], v[p+name+".bias"] = []int{shape[0], shape[1]}, []int{shape[0]}
		}
		for _, name := range []string{"attention.output.LayerNorm", "output.LayerNorm"} {
			v[p+name+".weight"], v[p+name+".bias"] = []int{d}, []int{d}
		}
	}
	return v
}

func layerName(i int) string { return fmt.Sprintf("encoder.layer.%d.", i) }

// bert builds the graph of one forward pass.
type bert struct {
	c bertConfig
	s *model.Scope
	g *Graph
}

// value returns a weight, which loadWeights has put into the store.
func (n *bert) value(name string) *Node { return n.s.GetVariable(name).NodeValue(n.g) }

// bertEmbed returns the vectors [B, D], of L2 norm 1, of tokens [B, T] (int32) of
// which the first lengths [B] (int32) of each row count.
func bertEmbed(s *model.Scope, c bertConfig, tokens, lengths *Node) *Node {
	n := &bert{c: c, s: s, g: tokens.Graph()}
	b, t, d := tokens.Shape().Dimensions[0], tokens.Shape().Dimensions[1], c.Hidden
	x := Gather(n.value(wordEmbeddings), ExpandAxes(tokens, -1)) // [B, T, D]
	place := Slice(n.value("embeddings.position_embeddings.weight"), AxisRange(0, t))
	kind := Slice(n.value("embeddings.token_type_embeddings.weight"), AxisRange(0, 1))
	x = Add(x, ExpandAxes(Add(place, kind), 0))
	x = n.norm(x, "embeddings.LayerNorm")

	real := LessThan(Iota(n.g, shapes.Make(dtypes.Int32, b, t), 1), BroadcastToDims(ExpandAxes(lengths, -1), b, t)) // [B, T]
	mask := ConvertDType(real, dtypes.Float32)
	bias := MulScalar(OneMinus(mask), -1e9) // hides padding from the softmax
	bias = Reshape(bias, b, 1, 1, t)
	for i := range c.Layers {
		x = n.layer(x, bias, layerName(i))
	}
	if c.firstToken {
		x = Reshape(Slice(x, AxisRange(), AxisRange(0, 1)), b, d)
	} else {
		count := ConvertDType(ExpandAxes(lengths, -1), dtypes.Float32)
		x = Div(ReduceSum(Mul(x, ExpandAxes(mask, -1)), 1), count)
	}
	return Div(x, MaxScalar(Sqrt(ReduceAndKeep(Square(x), ReduceSum, -1)), 1e-12))
}

// layer is one post-norm transformer block on x [B, T, D].
func (n *bert) layer(x, bias *Node, p string) *Node {
	b, t, d, h := x.Shape().Dimensions[0], x.Shape().Dimensions[1], n.c.Hidden, n.c.Heads
	head := func(name string) *Node { // [B, H, T, D/H]
		return TransposeAllAxes(Reshape(n.linear(x, p+name), b, t, h, d/h), 0, 2, 1, 3)
	}
	q, k, v := head("attention.self.query"), head("attention.self.key"), head("attention.self.value")
	scores := Add(MulScalar(Einsum("bhqd,bhkd->bhqk", q, k), 1/math.Sqrt(float64(d/h))), bias)
	mixed := Einsum("bhqk,bhkd->bhqd", Softmax(scores, -1), v)
	mixed = Reshape(TransposeAllAxes(mixed, 0, 2, 1, 3), b, t, d)
	x = n.norm(Add(x, n.linear(mixed, p+"attention.output.dense")), p+"attention.output.LayerNorm")
	inner := n.activate(n.linear(x, p+"intermediate.dense"))
	return n.norm(Add(x, n.linear(inner, p+"output.dense")), p+"output.LayerNorm")
}

// linear maps the last axis of x [B, T, in] by a weight [out, in] and a bias.
func (n *bert) linear(x *Node, name string) *Node {
	y := Einsum("bti,oi->bto", x, n.value(name+".weight"))
	return Add(y, ExpandLeftToRank(n.value(name+".bias"), 3))
}

// norm is layer normalisation over the last axis.
func (n *bert) norm(x *Node, name string) *Node {
	x = Sub(x, ReduceAndKeep(x, ReduceMean, -1))
	x = Div(x, Sqrt(AddScalar(ReduceAndKeep(Square(x), ReduceMean, -1), n.c.Eps)))
	return Add(Mul(x, ExpandLeftToRank(n.value(name+".weight"), 3)), ExpandLeftToRank(n.value(name+".bias"), 3))
}

func (n *bert) activate(x *Node) *Node {
	switch n.c.Activation {
	case "relu":
		return MaxScalar(x, 0)
	case "gelu_new": // the tanh form (Hendrycks and Gimpel 2016)
		inner := MulScalar(Add(x, MulScalar(Mul(Square(x), x), 0.044715)), math.Sqrt(2/math.Pi))
		return MulScalar(Mul(x, AddScalar(Tanh(inner), 1)), 0.5)
	}
	return MulScalar(Mul(x, AddScalar(Erf(MulScalar(x, math.Sqrt2/2)), 1)), 0.5)
}

// floats reads little-endian float32 numbers.
func floats(data []byte) []float32 {
	v := make([]float32, len(data)/4)
	for i := range v {
		v[i] = math.Float32frombits(binary.LittleEndian.Uint32(data[4*i:]))
	}
	return v
}
