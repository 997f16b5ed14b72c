package endpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
)

// maxPrompt bounds the two messages of a question together, in bytes.
const maxPrompt = 1 << 20

// Question asks a chat model for one JSON value.
type Question struct {
	System      string  // who answers and how; may be empty
	User        string  // the question
	Name        string  // of the schema: letters, digits, "_" and "-"
	Schema      *Schema // that the answer must fit
	MaxTokens   int     // of the answer; 0: the server's default
	Temperature float64 // 0 for the likeliest answer; negative: the server's default
	Seed        int64   // the server's sampling seed, sent if not 0; other seeds are other questions to the cache
}

// Ask returns the model's answer as compact JSON that fits q.Schema. The schema is
// written into the system message, and sent as response_format until the server
// refuses that field. An answer that does not fit is asked for again, up to
// Config.Attempts in all, then it is ErrAnswer. Fitting answers are cached.
func (c *Client) Ask(ctx context.Context, q Question) (json.RawMessage, error) {
	if err := q.check(); err != nil {
		return nil, fmt.Errorf("endpoint: ask: %w", err)
	}
	q.System, q.User = normalisePrompt(q.System), normalisePrompt(q.User)
	schema, err := json.Marshal(q.Schema)
	if err != nil {
		return nil, fmt.Errorf("endpoint: ask: %w: schema: %v", ErrInput, err)
	}
	key := KeyOf("chat", c.cfg.Model, q.System, q.User, q.Name, string(schema), fmt.Sprint(q.MaxTokens, q.Temperature, q.Seed))
	if data, ok, err := c.lookup(key, JSON); err != nil {
		return nil, fmt.Errorf("endpoint: ask: %w", err)
	} else if ok && q.Schema.Check(data) == nil {
		c.hits.Add(1)
		return data, nil
	}
	request := c.request(q, schema)
	if c.plain.Load() {
		request.ResponseFormat = nil
	}
	answer, err := c.ask(ctx, q, request)
	var no *refusal
	if errors.As(err, &no) && (no.code == http.StatusBadRequest || no.code == http.StatusUnprocessableEntity) && request.ResponseFormat != nil {
		// Perhaps the server does not know response_format. If it takes the question
		// without, it is not sent again; if not, the second refusal tells why.
		request.ResponseFormat = nil
		if answer, err = c.ask(ctx, q, request); err == nil {
			c.plain.Store(true)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := c.keep(key, JSON, answer); err != nil {
		return nil, fmt.Errorf("endpoint: ask: %w", err)
	}
	return answer, nil
}

func (q Question) check() error {
	if strings.TrimSpace(q.User) == "" || len(q.System)+len(q.User) > maxPrompt {
		return fmt.Errorf("%w: messages of %d and %d bytes, want a question and at most %d together", ErrInput, len(q.System), len(q.User), maxPrompt)
	}
	ok := q.Name != "" && len(q.Name) <= 64
	for _, r := range q.Name {
		ok = ok && (r == '_' || r == '-' || (r >= '0' && r <= '9') || (r >= 'a' && r <= 'z') || (r >= 'A' && r <= 'Z'))
	}
	if !ok {
		return fmt.Errorf("%w: schema name %q, want 1 to 64 letters, digits, _ and -", ErrInput, q.Name)
	}
	if q.MaxTokens < 0 || q.MaxTokens > 1<<20 || !(q.Temperature <= 2) {
		return fmt.Errorf("%w: max tokens %d or temperature %v, want at most %d and 2", ErrInput, q.MaxTokens, q.Temperature, 1<<20)
	}
	return q.Schema.Validate()
}

// normalisePrompt replaces invalid UTF-8 and Windows line ends, and drops outer
// white space.
func normalisePrompt(s string) string {
	return strings.TrimSpace(strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\r\n", "\n"))
}

// chatRequest is the body of chat/completions, as far as compatible servers agree.
type chatRequest struct {
	Model          string          `json:"model"`
	Messages       []chatMessage   `json:"messages"`
	ResponseFormat *responseFormat `json:"response_format,omitempty"`
	Temperature    *float64        `json:"temperature,omitempty"`
	MaxTokens      int             `json:"max_tokens,omitempty"` // the newer name is unknown to many servers
	Seed           int64           `json:"seed,omitempty"`
}

type chatMessage struct {
	Role    string `json:"role"`
	Content string `json:"content"`
}

type responseFormat struct {
	Type       string     `json:"type"`
	JSONSchema jsonSchema `json:"json_schema"`
}

type jsonSchema struct {
	Name   string          `json:"name"`
	Strict bool            `json:"strict"`
	Schema json.RawMessage `json:"schema"`
}

func (c *Client) request(q Question, schema []byte) chatRequest {
	system := strings.TrimSpace(q.System + "\n\nAnswer with one JSON value and nothing else. It must fit this JSON Schema:\n" + string(schema))
	r := chatRequest{
		Model:          c.cfg.Model,
		Messages:       []chatMessage{{"system", system}, {"user", q.User}},
		ResponseFormat: &responseFormat{"json_schema", jsonSchema{q.Name, true, schema}},
		MaxTokens:      q.MaxTokens, Seed: q.Seed,
	}
	if q.Temperature >= 0 {
		r.Temperature = &q.Temperature
	}
	return r
}

func (c *Client) ask(ctx context.Context, q Question, request chatRequest) (answer json.RawMessage, err error) {
	err = c.call(ctx, "ask "+c.cfg.Model, "chat/completions", request, true,
		func(body []byte) error {
			content, prompt, tokens, err := decodeChat(body)
			c.promptTokens.Add(prompt)
			c.answerTokens.Add(tokens)
			if err != nil {
				return err
			}
			text := []byte(findJSON(content))
			if err := q.Schema.Check(text); err != nil {
				return fmt.Errorf("%w: %w", ErrAnswer, err)
			}
			var compact bytes.Buffer
			if err := json.Compact(&compact, text); err != nil {
				return fmt.Errorf("%w: %w", ErrAnswer, err)
			}
			answer = compact.Bytes()
			return nil
		})
	return answer, err
}

// decodeChat returns the text of the first choice and the tokens used.
func decodeChat(body []byte) (content string, prompt, answer int64, err error) {
	var a struct {
		Choices []struct {
			FinishReason string `json:"finish_reason"`
			Message      struct {
				Content *string `json:"content"`
				Refusal string  `json:"refusal"`
			} `json:"message"`
		} `json:"choices"`
		Usage struct {
			PromptTokens     int64 `json:"prompt_tokens"`
			CompletionTokens int64 `json:"completion_tokens"`
		} `json:"usage"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		return "", 0, 0, fmt.Errorf("%w: not the JSON of a chat answer: %v", ErrAnswer, err)
	}
	prompt, answer = max(0, a.Usage.PromptTokens), max(0, a.Usage.CompletionTokens)
	switch {
	case len(a.Choices) == 0:
		return "", prompt, answer, fmt.Errorf("%w: no choices", ErrAnswer)
	case a.Choices[0].Message.Refusal != "":
		return "", prompt, answer, fmt.Errorf("%w: the model declined to answer", ErrAnswer)
	case a.Choices[0].FinishReason == "length":
		return "", prompt, answer, fmt.Errorf("%w: the answer was cut off; raise the limit on its tokens", ErrAnswer)
	case a.Choices[0].Message.Content == nil:
		return "", prompt, answer, fmt.Errorf("%w: no text in the answer", ErrAnswer)
	}
	return *a.Choices[0].Message.Content, prompt, answer, nil
}

// findJSON drops what models without a constraint write around their JSON: a
// thinking block before it and a code fence.
func findJSON(s string) string {
	s = strings.TrimSpace(s)
	if _, after, ok := strings.Cut(s, "</think>"); ok && !strings.HasPrefix(s, "{") && !strings.HasPrefix(s, "[") {
		s = strings.TrimSpace(after)
	}
	if rest, ok := strings.CutPrefix(s, "```"); ok {
		s = strings.TrimPrefix(rest, "json")
		s, _, _ = strings.Cut(s, "```")
	}
	return strings.TrimSpace(s)
}
