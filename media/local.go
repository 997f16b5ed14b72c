package media

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"unicode"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-huggingface/tokenizers/hftokenizer"
	"github.com/gomlx/gomlx/core/graph"
	"github.com/gomlx/gomlx/core/tensors"
	"github.com/gomlx/gomlx/ml/model"

	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/run"
)

// Limits of a model folder.
const (
	maxJSON      = 4 << 20
	maxTokenizer = 128 << 20
	maxWeights   = 16 << 30
)

// Lengths and sizes of the batches a graph is compiled for: a text goes to the
// shortest bucket that holds it, and a batch holds about tokensPerBatch tokens, or
// tokensPerFew if that is enough for the texts left.
const (
	firstBucket    = 16
	tokensPerBatch = 2048
	tokensPerFew   = 256
)

// local runs a sentence encoder of the BERT family (BERT, MiniLM, E5, BGE): the
// model's own pooling, mean or first token, then L2 norm 1. Images are not read.
type local struct {
	name      string
	c         bertConfig
	prefix    string
	maxText   int
	maxTokens int
	tokenizer *hftokenizer.Tokenizer

	mu   sync.Mutex // an executor serves one caller at a time
	exec *model.Exec
}

func newLocal(c Config, backend compute.Backend) (*local, error) {
	l, err := openLocal(c, backend)
	if err != nil {
		return nil, fmt.Errorf("media: local encoder %s: %w", c.Folder, err)
	}
	return l, nil
}

func openLocal(c Config, backend compute.Backend) (*local, error) {
	if backend == nil {
		return nil, fmt.Errorf("%w: no compute backend given", poi.ErrBadInput)
	}
	digest := sha256.New()
	bc, maxTokens, err := readBertConfig(c.Folder, digest)
	if err != nil {
		return nil, err
	}
	if c.Dim != 0 && c.Dim != bc.Hidden {
		return nil, fmt.Errorf("%w: dim is %d, the model has %d; set dim: 0 to take the model's", poi.ErrBadInput, c.Dim, bc.Hidden)
	}
	if c.MaxTokens > 0 {
		maxTokens = min(maxTokens, c.MaxTokens)
	}
	if maxTokens < 3 {
		return nil, fmt.Errorf("%w: the model would read %d tokens, of which two are marks; raise max_tokens", poi.ErrBadInput, maxTokens)
	}
	text, err := readLimited(c.Folder, "tokenizer.json", maxTokenizer, digest)
	if err != nil {
		return nil, err
	}
	tok, err := openTokenizer(text, bc.Vocab)
	if err != nil {
		return nil, err
	}
	store, err := loadWeights(filepath.Join(c.Folder, "model.safetensors"), bc, digest)
	if err != nil {
		return nil, err
	}
	l := &local{c: bc, prefix: c.Prefix, maxText: c.MaxText, maxTokens: maxTokens, tokenizer: tok}
	l.name = fmt.Sprintf("local/1 model=%s max_tokens=%d prefix=%q max_text=%d", hex.EncodeToString(digest.Sum(nil)[:16]), maxTokens, c.Prefix, c.MaxText)
	l.exec, err = model.NewExec(backend, store, func(s *model.Scope, tokens, lengths *graph.Node) *graph.Node {
		return bertEmbed(s, bc, tokens, lengths)
	})
	if err != nil {
		return nil, fmt.Errorf("make the executor: %w", err)
	}
	return l, nil
}

// Name implements Encoder.
func (l *local) Name() string { return l.name }

// Dim implements Encoder.
func (l *local) Dim() int { return l.c.Hidden }

// Encode implements Encoder. Items are sorted by length into buckets, so that few
// shapes are compiled and little is padded.
func (l *local) Encode(ctx context.Context, items []Item) ([][]float32, error) {
	out := make([][]float32, len(items))
	ids := make([][]int, len(items))
	var order []int
	for i, it := range items {
		if strings.TrimSpace(it.Text) == "" {
			out[i] = make([]float32, l.c.Hidden)
			continue
		}
		ids[i] = l.tokens(it.Text)
		order = append(order, i)
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(len(ids[a]), len(ids[b])) })
	for len(order) > 0 {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("media: local: stopped: %w", context.Cause(ctx))
		}
		length := l.bucket(len(ids[order[0]]))
		n, most := 0, max(1, tokensPerBatch/length)
		for n < min(most, len(order)) && len(ids[order[n]]) <= length {
			n++
		}
		size := max(1, tokensPerFew/length)
		if n > size {
			size = most
		}
		if err := l.forward(order[:n], ids, length, size, out); err != nil {
			return nil, fmt.Errorf("media: local: %w", err)
		}
		order = order[n:]
	}
	return out, nil
}

// tokens cuts a long text but keeps the model's closing mark.
func (l *local) tokens(text string) []int {
	ids := l.tokenizer.Encode(withoutFormat(l.prefix + cut(text, l.maxText)))
	if len(ids) > l.maxTokens {
		ids = append(ids[:l.maxTokens-1], ids[len(ids)-1])
	}
	return ids
}

// withoutFormat drops invisible characters (Unicode categories Cf and Co), as the
// reference tokenizer does and the library here does not.
func withoutFormat(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Cf, unicode.Co) {
			return -1
		}
		return r
	}, s)
}

// bucket returns the shortest compiled length that holds n tokens.
func (l *local) bucket(n int) int {
	b := firstBucket
	for b < n {
		b *= 2
	}
	return min(b, l.maxTokens)
}

// forward runs one batch of size rows; rows beyond the items are padding.
func (l *local) forward(rows []int, ids [][]int, length, size int, out [][]float32) error {
	tokens := make([]int32, size*length)
	lengths := make([]int32, size)
	for j := range lengths {
		lengths[j] = 1 // a padding row has one token too: no division by zero
		if j < len(rows) {
			for t, id := range ids[rows[j]] {
				tokens[j*length+t] = int32(id)
			}
			lengths[j] = int32(len(ids[rows[j]]))
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	res, err := l.exec.Call1(tensors.FromFlatDataAndDimensions(tokens, size, length), tensors.FromFlatDataAndDimensions(lengths, size))
	if err != nil {
		return fmt.Errorf("run the model on %d texts of at most %d tokens: %w", len(rows), length, err)
	}
	flat, err := tensors.CopyFlatData[float32](res)
	if err != nil {
		return fmt.Errorf("read the vectors: %w", err)
	}
	if err := res.FinalizeAll(); err != nil {
		return fmt.Errorf("free the vectors: %w", err)
	}
	for j, i := range rows {
		out[i] = slices.Clone(flat[j*l.c.Hidden : (j+1)*l.c.Hidden])
	}
	return nil
}

// openTokenizer accepts the WordPiece tokenizers of BERT. Others exist in the
// library, but their results are not checked against the reference here.
func openTokenizer(text []byte, vocab int) (*hftokenizer.Tokenizer, error) {
	tok, err := hftokenizer.NewFromContent(nil, text)
	if err != nil {
		return nil, fmt.Errorf("%w: tokenizer.json: %v", poi.ErrBadInput, err)
	}
	if kind := tok.GetTokenizerType(); kind != "WordPiece" {
		return nil, fmt.Errorf("%w: tokenizer.json is of type %q; only WordPiece (BERT, MiniLM, E5, BGE) is supported", poi.ErrBadInput, kind)
	}
	for word, id := range tok.GetVocab() {
		if id < 0 || id >= vocab {
			return nil, fmt.Errorf("%w: tokenizer.json gives %q the number %d, the model has %d; the files belong to different models", poi.ErrBadInput, word, id, vocab)
		}
	}
	if n := len(tok.Encode("a")); n < 3 {
		return nil, fmt.Errorf("%w: tokenizer.json adds no [CLS] and [SEP]", poi.ErrBadInput)
	}
	return tok, nil
}

// readLimited reads a file of the folder and adds it to the digest.
func readLimited(folder, name string, limit int64, digest io.Writer) ([]byte, error) {
	path := filepath.Join(folder, name)
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w; the folder must hold config.json, tokenizer.json and model.safetensors", poi.ErrBadInput, err)
	}
	if info.Size() > limit || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%w: %s has %d bytes, at most %d", poi.ErrBadInput, name, info.Size(), limit)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	_, err = digest.Write(data)
	return data, err
}

// readOptional is readLimited of a JSON file that may be absent.
func readOptional(folder, name string, digest io.Writer, v any) error {
	data, err := readLimited(folder, name, maxJSON, digest)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("%w: %s: %v", poi.ErrBadInput, name, err)
	}
	return nil
}

// loadWeights reads the variables of the network, named as in the file but without
// a leading "bert.", and checks their shapes.
func loadWeights(path string, c bertConfig, digest io.Writer) (store *model.Store, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", poi.ErrBadInput, err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if info.Size() > maxWeights {
		return nil, fmt.Errorf("%w: model.safetensors has %d bytes, at most %d", poi.ErrBadInput, info.Size(), int64(maxWeights))
	}
	if _, err := io.Copy(digest, f); err != nil {
		return nil, err
	}
	file, err := run.OpenTensors(f, info.Size())
	if err != nil {
		return nil, fmt.Errorf("%w: model.safetensors: %w; only float32 weights are read", poi.ErrBadInput, err)
	}
	prefix := ""
	if _, ok := file.Info("bert." + wordEmbeddings); ok {
		prefix = "bert."
	}
	store = model.NewStore()
	shapes := c.variables()
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		t, err := readTensor(file, prefix+name, shapes[name])
		if err != nil {
			return nil, err
		}
		if _, err := store.RootScope().CreateVariable(name, t); err != nil {
			return nil, fmt.Errorf("variable %s: %w", name, err)
		}
	}
	return store, nil
}

func readTensor(file *run.TensorFile, name string, shape []int) (*tensors.Tensor, error) {
	info, ok := file.Info(name)
	if !ok || info.DType != "F32" || !slices.Equal(info.Shape, shape) {
		return nil, fmt.Errorf("%w: model.safetensors holds %q as %s%v, want F32%v", poi.ErrBadInput, name, info.DType, info.Shape, shape)
	}
	size, err := info.Bytes()
	if err != nil {
		return nil, err
	}
	data := make([]byte, size)
	if err := file.ReadInto(name, data); err != nil {
		return nil, err
	}
	return tensors.FromFlatDataAndDimensions(floats(data), shape...), nil
}
