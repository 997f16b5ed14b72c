package endpoint

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// verdict is a schema such as judges use.
func verdict() *Schema {
	low, high := Between(1, 5)
	return &Schema{Type: "object", Properties: map[string]*Schema{
		"winner": {Type: "string", Enum: []string{"A", "B", "even"}},
		"score":  {Type: "integer", Min: low, Max: high},
		"why":    {Type: "array", Items: &Schema{Type: "string", MaxLength: 5}, MaxItems: 2},
	}}
}

func question() Question {
	return Question{System: "You judge.", User: "A or B?", Name: "verdict", Schema: verdict(), MaxTokens: 100, Seed: 7}
}

const good = `{"winner":"A","score":3,"why":["near"]}`

func TestAsk(t *testing.T) {
	for _, text := range []string{good, "\n" + strings.ReplaceAll(good, ",", ", ") + "\n", "```json\n" + good + "\n```", "```\n" + good + "```",
		"<think>Hm, {\"winner\"?</think>\n" + good} {
		f := serve(t, chat(text))
		c, _ := client(t, f.URL, func(c *Config) { c.Cache = t.TempDir() })
		for range 2 {
			if got, err := c.Ask(context.Background(), question()); err != nil || string(got) != good {
				t.Errorf("%q: %s, %v", text, got, err)
			}
		}
		if got, want := c.Stats(), (Stats{Calls: 1, Hits: 1, PromptTokens: 10, AnswerTokens: 4}); got != want {
			t.Errorf("stats %+v, want %+v", got, want)
		}
		r := f.asked[0]
		var format struct {
			Type       string `json:"type"`
			JSONSchema struct {
				Name   string          `json:"name"`
				Strict bool            `json:"strict"`
				Schema json.RawMessage `json:"schema"`
			} `json:"json_schema"`
		}
		if err := json.Unmarshal(r.ResponseFormat, &format); err != nil || format.Type != "json_schema" || format.JSONSchema.Name != "verdict" || !format.JSONSchema.Strict {
			t.Errorf("response format %s, %v", r.ResponseFormat, err)
		}
		if want := `{"additionalProperties":false,"properties":{"score":{"maximum":5,"minimum":1,"type":"integer"},"why":{"items":{"maxLength":5,"type":"string"},"maxItems":2,"type":"array"},"winner":{"enum":["A","B","even"],"type":"string"}},"required":["score","why","winner"],"type":"object"}`; string(format.JSONSchema.Schema) != want {
			t.Errorf("schema sent: %s", format.JSONSchema.Schema)
		} else if len(r.Messages) != 2 || !strings.Contains(r.Messages[0].Content, want) || r.Messages[1].Content != "A or B?" {
			t.Errorf("messages %v", r.Messages)
		}
		if *r.Seed != 7 || *r.Temperature != 0 || *r.MaxTokens != 100 {
			t.Errorf("seed %d, temperature %v, max tokens %d", *r.Seed, *r.Temperature, *r.MaxTokens)
		}
	}
}

// Another question, seed or model is another entry of the cache.
func TestAskKeys(t *testing.T) {
	f := serve(t, chat(good))
	dir := t.TempDir()
	c, _ := client(t, f.URL, func(c *Config) { c.Cache = dir })
	other, _ := client(t, f.URL, func(c *Config) { c.Cache = dir; c.Model = "large" })
	ask := func(c *Client, edit func(*Question)) {
		q := question()
		edit(&q)
		if _, err := c.Ask(context.Background(), q); err != nil {
			t.Fatal(err)
		}
	}
	ask(c, func(*Question) {})
	ask(c, func(q *Question) { q.User = " A or B?\r\n" }) // the same after normalising
	if f.calls() != 1 {
		t.Fatalf("%d calls for one question", f.calls())
	}
	ask(c, func(q *Question) { q.User = "B or A?" })
	ask(c, func(q *Question) { q.System = "" })
	ask(c, func(q *Question) { q.Seed = 8 })
	ask(c, func(q *Question) { q.Temperature = -1 })
	ask(c, func(q *Question) { q.Schema.Properties["why"].MaxItems = 3 })
	ask(other, func(*Question) {})
	if f.calls() != 7 {
		t.Errorf("%d calls for 7 questions", f.calls())
	}
	if f.asked[4].Temperature != nil {
		t.Error("a temperature left to the server was sent")
	}
}

// A server that does not know response_format is asked without it, from then on.
func TestAskPlainServer(t *testing.T) {
	f := serve(t, func(n int, r request, w http.ResponseWriter) {
		if r.ResponseFormat != nil {
			status(400, `{"error":"unknown field response_format"}`)(n, r, w)
			return
		}
		chat(good)(n, r, w)
	})
	c, _ := client(t, f.URL, nil)
	for range 2 {
		if got, err := c.Ask(context.Background(), question()); err != nil || string(got) != good {
			t.Fatalf("%s, %v", got, err)
		}
	}
	if f.calls() != 3 {
		t.Errorf("%d calls, want one refused and two answered", f.calls())
	}
	f = serve(t, status(400, `{"error":"model is away"}`))
	c, _ = client(t, f.URL, nil)
	if _, err := c.Ask(context.Background(), question()); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "model is away") || c.plain.Load() {
		t.Errorf("%v", err)
	}
}

func TestAskErrors(t *testing.T) {
	choice := func(s string) func(int, request, http.ResponseWriter) {
		return status(200, `{"choices":[{`+s+`}]}`)
	}
	for _, tc := range []struct {
		what  string
		reply func(int, request, http.ResponseWriter)
		says  string
	}{
		{"prose", chat("I like A."), "not JSON"},
		{"two values", chat(good + good), "text after"},
		{"no winner", chat(`{"score":3,"why":[]}`), `no "winner"`},
		{"another winner", chat(`{"winner":"C","score":3,"why":[]}`), "winner is not one of"},
		{"half a point", chat(`{"winner":"A","score":3.5,"why":[]}`), "integer"},
		{"six points", chat(`{"winner":"A","score":6,"why":[]}`), "bounds"},
		{"points in words", chat(`{"winner":"A","score":"3","why":[]}`), "not a number"},
		{"too many reasons", chat(`{"winner":"A","score":3,"why":["","",""]}`), "0 to 2 items"},
		{"long reason", chat(`{"winner":"A","score":3,"why":["ääääää"]}`), "why[0] is longer"},
		{"more", chat(`{"winner":"A","score":3,"why":[],"x":1}`), "beyond"},
		{"a list", chat(`[]`), "not an object"},
		{"no choices", status(200, `{"choices":[]}`), "no choices"},
		{"no text", choice(`"message":{"content":null}`), "no text"},
		{"refusal", choice(`"message":{"content":"","refusal":"no"}`), "declined"},
		{"cut off", choice(`"finish_reason":"length","message":{"content":"{"}`), "cut off"},
		{"invalid JSON", status(200, `{"choices":`), "JSON"},
	} {
		f := serve(t, tc.reply)
		c, _ := client(t, f.URL, func(c *Config) { c.Attempts = 2; c.Cache = t.TempDir() })
		_, err := c.Ask(context.Background(), question())
		if !errors.Is(err, ErrAnswer) || !strings.Contains(err.Error(), tc.says) || f.calls() != 2 || cached(t, c.cfg.Cache) != 0 {
			t.Errorf("%s: %d calls, %d cached, error %v; want 2, 0, one that says %q", tc.what, f.calls(), cached(t, c.cfg.Cache), err, tc.says)
		}
	}
	// A model that answers well the second time.
	f := serve(t, func(n int, r request, w http.ResponseWriter) { chat([]string{"Hm.", good}[n])(n, r, w) })
	c, _ := client(t, f.URL, nil)
	if got, err := c.Ask(context.Background(), question()); err != nil || string(got) != good {
		t.Errorf("%s, %v", got, err)
	}
}

func TestBadQuestions(t *testing.T) {
	one := 1.0
	for what, edit := range map[string]func(*Question){
		"no question":    func(q *Question) { q.User = " " },
		"long":           func(q *Question) { q.System = strings.Repeat("a", maxPrompt) },
		"name":           func(q *Question) { q.Name = "a b" },
		"no name":        func(q *Question) { q.Name = "" },
		"temperature":    func(q *Question) { q.Temperature = 3 },
		"tokens":         func(q *Question) { q.MaxTokens = -1 },
		"no schema":      func(q *Question) { q.Schema = nil },
		"type":           func(q *Question) { q.Schema = &Schema{Type: "null"} },
		"empty object":   func(q *Question) { q.Schema = &Schema{Type: "object"} },
		"items of text":  func(q *Question) { q.Schema = &Schema{Type: "string", Items: verdict()} },
		"list of what":   func(q *Question) { q.Schema = &Schema{Type: "array"} },
		"crossed items":  func(q *Question) { q.Schema = &Schema{Type: "array", Items: verdict(), MinItems: 3, MaxItems: 2} },
		"crossed bounds": func(q *Question) { q.Schema = &Schema{Type: "number", Min: &one, Max: new(float64)} },
		"inner":          func(q *Question) { q.Schema.Properties["why"].Items.Type = "text" },
	} {
		f := serve(t, chat(good))
		c, _ := client(t, f.URL, nil)
		q := question()
		edit(&q)
		if _, err := c.Ask(context.Background(), q); !errors.Is(err, ErrInput) || f.calls() != 0 {
			t.Errorf("%s: %v after %d calls", what, err, f.calls())
		}
	}
}

// Every value drawn to fit the schema fits, and dropping a property never does.
func TestSchemaProperty(t *testing.T) {
	s := verdict()
	rapid.Check(t, func(t *rapid.T) {
		v := map[string]any{
			"winner": rapid.SampledFrom(s.Properties["winner"].Enum).Draw(t, "winner"),
			"score":  rapid.IntRange(1, 5).Draw(t, "score"),
			"why":    rapid.SliceOfN(rapid.StringN(0, 5, -1), 0, 2).Draw(t, "why"),
		}
		text, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Check(text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		delete(v, rapid.SampledFrom([]string{"winner", "score", "why"}).Draw(t, "dropped"))
		if text, err = json.Marshal(v); err != nil || s.Check(text) == nil {
			t.Fatalf("%s was taken, %v", text, err)
		}
	})
}

// FuzzAnswers: no body of a server makes the decoders panic or give what is not
// promised.
func FuzzAnswers(f *testing.F) {
	f.Add([]byte(`{"data":[{"index":1,"embedding":[1,2]},{"index":0,"embedding":[3,4]}]}`))
	f.Add([]byte(`{"data":[{"embedding":[1e39]},{"embedding":null}]}`))
	f.Add([]byte(`{"choices":[{"message":{"content":"{\"winner\":\"A\"}"}}]}`))
	f.Add([]byte(good))
	f.Fuzz(func(t *testing.T, body []byte) {
		if v, _, err := decodeEmbeddings(body, 2, 0); err == nil {
			if len(v) != 2 || len(v[0]) == 0 || len(v[0]) != len(v[1]) || finite(v[0]) != nil || finite(v[1]) != nil {
				t.Errorf("vectors %v were taken", v)
			}
		}
		if text, _, _, err := decodeChat(body); err == nil {
			body = []byte(findJSON(text))
		}
		if verdict().Check(body) == nil && !json.Valid(body) {
			t.Errorf("%q was taken", body)
		}
	})
}
