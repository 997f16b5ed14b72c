package media

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gomlx/compute"

	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
)

// reference is one case of testdata/bert/expected.json: what the Python library
// transformers gives for the tiny model (see testdata/make_bert.py).
type reference struct {
	Text  string    `json:"text"`
	IDs   []int     `json:"ids"`
	Mean  []float64 `json:"mean"`
	First []float64 `json:"first"`
}

func references(t *testing.T) []reference {
	t.Helper()
	data, err := os.ReadFile("testdata/bert/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []reference
	if err := json.Unmarshal(data, &all); err != nil || len(all) < 5 {
		t.Fatalf("%d cases, error %v", len(all), err)
	}
	return all
}

func localConfig(folder string) Config {
	c := Default()
	c.Kind, c.Dim, c.Image, c.Folder = Local, 0, ImageNone, folder
	return c
}

func goBackend(t *testing.T) compute.Backend {
	t.Helper()
	return testkit.Backends(t)["go"]
}

// modelFolder copies the tiny model; edit changes the files before they are written.
func modelFolder(t *testing.T, edit func(name string, data []byte) []byte, extra map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"config.json", "tokenizer.json", "model.safetensors"} {
		data, err := os.ReadFile(filepath.Join("testdata/bert", name))
		if err != nil {
			t.Fatal(err)
		}
		if edit != nil {
			data = edit(name, data)
		}
		if data != nil {
			writeFile(t, filepath.Join(dir, name), data)
		}
	}
	for name, text := range extra {
		writeFile(t, filepath.Join(dir, name), []byte(text))
	}
	return dir
}

func writeFile(t *testing.T, path string, data []byte) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustEncode(t *testing.T, e Encoder, items ...Item) [][]float32 {
	t.Helper()
	v, err := e.Encode(context.Background(), items)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func wantNear(t *testing.T, what string, got []float32, want []float64, tolerance float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d numbers, want %d", what, len(got), len(want))
	}
	for i := range want {
		if math.Abs(float64(got[i])-want[i]) > tolerance {
			t.Fatalf("%s: number %d is %v, reference %v", what, i, got[i], want[i])
		}
	}
}

// Tokens and vectors are those of the reference implementation, in one call with
// mixed lengths and one by one, for both poolings.
func TestLocalAgainstReference(t *testing.T) {
	cases := references(t)
	first := modelFolder(t, nil, map[string]string{
		"1_Pooling/config.json": `{"pooling_mode_mean_tokens": false, "pooling_mode_cls_token": true}`})
	for name, backend := range testkit.Backends(t) {
		t.Run(name, func(t *testing.T) {
			mean, err := New(localConfig("testdata/bert"), backend)
			if err != nil {
				t.Fatal(err)
			}
			cls, err := New(localConfig(first), backend)
			if err != nil {
				t.Fatal(err)
			}
			if mean.Name() == cls.Name() || mean.Dim() != 32 {
				t.Errorf("names %q and %q must differ; dim %d", mean.Name(), cls.Name(), mean.Dim())
			}
			items := make([]Item, len(cases))
			for i, c := range cases {
				items[i].Text = c.Text
				if got := mean.(*local).tokens(c.Text); !slices.Equal(got, c.IDs) {
					t.Errorf("tokens of %q: %v, reference %v", c.Text, got, c.IDs)
				}
			}
			together, firsts := mustEncode(t, mean, items...), mustEncode(t, cls, items...)
			for i, c := range cases {
				wantNear(t, c.Text, together[i], c.Mean, 1e-4)
				wantNear(t, c.Text+" (first)", firsts[i], c.First, 1e-4)
				if i < 3 {
					wantNear(t, c.Text+" (alone)", mustEncode(t, mean, items[i])[0], c.Mean, 1e-4)
				}
			}
		})
	}
}

// More texts than a batch holds, and places without text.
func TestLocalBatches(t *testing.T) {
	e, err := New(localConfig("testdata/bert"), goBackend(t))
	if err != nil {
		t.Fatal(err)
	}
	cases := references(t)
	items := make([]Item, tokensPerBatch/firstBucket+3)
	for i := range items {
		items[i].Text = cases[i%3].Text
	}
	items[5].Text = " \n"
	for i, v := range mustEncode(t, e, items...) {
		want := cases[i%3].Mean
		if i == 5 {
			want = make([]float64, 32)
		}
		wantNear(t, items[i].Text, v, want, 1e-4)
	}
	if n := len(mustEncode(t, e)); n != 0 {
		t.Errorf("%d vectors of no items", n)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := e.Encode(ctx, items); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled call gives %v", err)
	}
}

// A prefix and a shorter limit change the vectors, and the name with them.
func TestLocalSettings(t *testing.T) {
	be := goBackend(t)
	base := localConfig("testdata/bert")
	prefixed, short := base, base
	prefixed.Prefix = "review: "
	short.MaxTokens = 4
	names := map[string]bool{}
	var vectors [][]float32
	for _, c := range []Config{base, prefixed, short} {
		e, err := New(c, be)
		if err != nil {
			t.Fatal(err)
		}
		names[e.Name()] = true
		vectors = append(vectors, mustEncode(t, e, Item{Text: "the quiet garden"})[0])
	}
	if len(names) != 3 {
		t.Errorf("names %v, want three", names)
	}
	if slices.Equal(vectors[0], vectors[1]) || slices.Equal(vectors[0], vectors[2]) {
		t.Error("a setting in the name left the vector as it was")
	}
	e, err := New(base, be)
	if err != nil {
		t.Fatal(err)
	}
	same := mustEncode(t, e, Item{Text: "review: the quiet garden"})[0]
	want := make([]float64, len(same))
	for i, x := range vectors[1] {
		want[i] = float64(x)
	}
	wantNear(t, "prefix written by hand", same, want, 1e-6)
}

func TestLocalBadFolders(t *testing.T) {
	swap := func(name, old, new string) func(string, []byte) []byte {
		return func(file string, data []byte) []byte {
			if file == name {
				if !bytes.Contains(data, []byte(old)) {
					t.Fatalf("%s does not hold %q", name, old)
				}
				return bytes.ReplaceAll(data, []byte(old), []byte(new))
			}
			return data
		}
	}
	drop := func(name string) func(string, []byte) []byte {
		return func(file string, data []byte) []byte {
			if file == name {
				return nil
			}
			return data
		}
	}
	for _, c := range []struct {
		what  string
		edit  func(string, []byte) []byte
		extra map[string]string
		says  string
	}{
		{"no config", drop("config.json"), nil, "config.json"},
		{"no tokenizer", drop("tokenizer.json"), nil, "tokenizer.json"},
		{"no weights", drop("model.safetensors"), nil, "model.safetensors"},
		{"other family", swap("config.json", `"model_type": "bert"`, `"model_type": "xlm-roberta"`), nil, "xlm-roberta"},
		{"relative positions", swap("config.json", `"absolute"`, `"relative_key"`), nil, "relative_key"},
		{"heads", swap("config.json", `"num_attention_heads": 4`, `"num_attention_heads": 5`), nil, "no multiple"},
		{"activation", swap("config.json", `"gelu"`, `"silu"`), nil, "silu"},
		{"other size", swap("config.json", `"hidden_size": 32`, `"hidden_size": 64`), nil, "embeddings.LayerNorm.bias"},
		{"layers missing", swap("config.json", `"num_hidden_layers": 2`, `"num_hidden_layers": 3`), nil, "encoder.layer.2."},
		{"layers absurd", swap("config.json", `"num_hidden_layers": 2`, `"num_hidden_layers": 2000000`), nil, "num_hidden_layers"},
		{"no JSON", swap("config.json", "{", "["), nil, "config.json"},
		{"tokens beyond the vocabulary", swap("config.json", `"vocab_size": 133`, `"vocab_size": 100`), nil, "different models"},
		{"another tokenizer", swap("tokenizer.json", "WordPiece", "Unigram"), nil, "Unigram"},
		{"cut weights", func(n string, d []byte) []byte {
			if n == "model.safetensors" {
				return d[:len(d)-7]
			}
			return d
		}, nil, "model.safetensors"},
		{"dense module", nil, map[string]string{"modules.json": `[{"type":"sentence_transformers.models.Dense"}]`}, "Dense"},
		{"two poolings", nil, map[string]string{"1_Pooling/config.json": `{"pooling_mode_cls_token": true}`}, "1_Pooling"},
	} {
		_, err := New(localConfig(modelFolder(t, c.edit, c.extra)), goBackend(t))
		if !errors.Is(err, poi.ErrBadInput) || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: error %v, want one that says %q", c.what, err, c.says)
		}
	}
	wrong := localConfig("testdata/bert")
	wrong.Dim = 64
	if _, err := New(wrong, goBackend(t)); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("dim 64 of a model of 32: %v", err)
	}
	if _, err := New(localConfig("testdata/bert"), nil); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("no backend: %v", err)
	}
	cutShort := localConfig("testdata/bert")
	cutShort.MaxTokens = 2
	if _, err := New(cutShort, goBackend(t)); !errors.Is(err, poi.ErrBadInput) {
		t.Errorf("room for marks only: %v", err)
	}
}

// The files around the model are read, and a shorter limit of theirs is kept.
func TestLocalSentenceFiles(t *testing.T) {
	dir := modelFolder(t, nil, map[string]string{
		"modules.json":              `[{"type":"sentence_transformers.models.Transformer"},{"type":"sentence_transformers.models.Pooling"},{"type":"sentence_transformers.models.Normalize"}]`,
		"1_Pooling/config.json":     `{"pooling_mode_mean_tokens": true, "word_embedding_dimension": 32}`,
		"sentence_bert_config.json": `{"max_seq_length": 20}`,
	})
	c, n, err := readBertConfig(dir, io.Discard)
	if err != nil || n != 20 || c.firstToken {
		t.Errorf("limit %d, first %v, error %v; want 20, false, none", n, c.firstToken, err)
	}
	if _, n, err = readBertConfig("testdata/bert", io.Discard); err != nil || n != 48 {
		t.Errorf("limit %d, error %v; want the model's 48", n, err)
	}
}
