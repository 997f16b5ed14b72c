package endpoint

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"
)

const secret = "sk-test-0123456789"

// fake is a server whose n-th answer (from 0) is written by reply; it counts calls
// and keeps what was asked.
type fake struct {
	*httptest.Server
	mu    sync.Mutex
	asked []request
	auth  []string
}

// request is the part of a request's body that fakes look at.
type request struct {
	Model          string          `json:"model"`
	Input          json.RawMessage `json:"input"`
	EncodingFormat string          `json:"encoding_format"`
	ResponseFormat json.RawMessage `json:"response_format"`
	Seed           *int64          `json:"seed"`
	Temperature    *float64        `json:"temperature"`
	MaxTokens      *int64          `json:"max_tokens"`
	Messages       []struct {
		Role    string `json:"role"`
		Content string `json:"content"`
	} `json:"messages"`
}

// texts returns the input as strings.
func (r request) texts() []string {
	var s []string
	if err := json.Unmarshal(r.Input, &s); err != nil {
		return nil
	}
	return s
}

func serve(t *testing.T, reply func(n int, r request, w http.ResponseWriter)) *fake {
	t.Helper()
	f := &fake{}
	f.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body request
		data, err := io.ReadAll(r.Body)
		if err == nil {
			err = json.Unmarshal(data, &body)
		}
		if err != nil {
			t.Errorf("a request that is no JSON: %v", err)
		}
		f.mu.Lock()
		n := len(f.asked)
		f.asked = append(f.asked, body)
		f.auth = append(f.auth, r.Header.Get("Authorization"))
		f.mu.Unlock()
		w.Header().Set("Content-Type", "application/json")
		reply(n, body, w)
	}))
	t.Cleanup(f.Close)
	return f
}

func (f *fake) calls() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.asked)
}

// vectorOf is what fakes answer for a text: readable by hand, of 3 numbers.
func vectorOf(text string) []float32 {
	var sum float32
	for _, r := range text {
		sum += float32(r)
	}
	return []float32{float32(len(text)), sum, 1}
}

// embed answers a request for embeddings as a good server does, in reverse order.
func embed(_ int, r request, w http.ResponseWriter) {
	texts := r.texts()
	data := make([]map[string]any, 0, len(texts))
	for i := len(texts) - 1; i >= 0; i-- {
		data = append(data, map[string]any{"object": "embedding", "index": i, "embedding": vectorOf(texts[i])})
	}
	say(w, map[string]any{"object": "list", "model": r.Model, "data": data, "usage": map[string]int{"prompt_tokens": len(texts), "total_tokens": len(texts)}})
}

// chat answers with a text.
func chat(text string) func(int, request, http.ResponseWriter) {
	return func(_ int, _ request, w http.ResponseWriter) {
		say(w, map[string]any{"choices": []any{map[string]any{"index": 0, "finish_reason": "stop",
			"message": map[string]any{"role": "assistant", "content": text}}}, "usage": map[string]int{"prompt_tokens": 10, "completion_tokens": 4}})
	}
}

func say(w http.ResponseWriter, v any) {
	if err := json.NewEncoder(w).Encode(v); err != nil {
		panic(err) // a map of plain values always encodes; a closed connection ends the handler
	}
}

// status answers with an HTTP status and a body.
func status(code int, body string) func(int, request, http.ResponseWriter) {
	return func(_ int, _ request, w http.ResponseWriter) {
		w.WriteHeader(code)
		_, _ = io.WriteString(w, body)
	}
}

// client makes a client of a server that never really sleeps between attempts; the
// waits it would have made are appended to waits.
func client(t *testing.T, url string, edit func(*Config)) (c *Client, waits *[]time.Duration) {
	t.Helper()
	t.Setenv("WHERETO_API_KEY", secret)
	cfg := Default()
	cfg.URL, cfg.Model, cfg.PerMinute = url+"/v1", "tiny", 0
	if edit != nil {
		edit(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	waits = new([]time.Duration)
	var mu sync.Mutex
	c.sleep = func(ctx context.Context, d time.Duration) error {
		mu.Lock()
		defer mu.Unlock()
		*waits = append(*waits, d)
		c.mu.Lock()
		c.notBefore = time.Time{}
		c.mu.Unlock()
		return ctx.Err()
	}
	return c, waits
}

func texts(n int) []Input {
	all := make([]Input, n)
	for i := range all {
		all[i].Text = fmt.Sprintf("place number %d", i)
	}
	return all
}
