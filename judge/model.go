package judge

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/whereto/whereto/endpoint"
	"github.com/whereto/whereto/poi"
)

// Asker is the part of *endpoint.Client that Model needs. It retries what the
// network and the server do wrong, and keeps answers on disk.
type Asker interface {
	Ask(ctx context.Context, q endpoint.Question) (json.RawMessage, error)
}

// Settings of Model.
const (
	DefaultTries = 3
	MaxTries     = 10
	maxAnswer    = 64 << 10 // bytes
	maxAnalysis  = 2000     // characters
)

// Model asks a language model.
type Model struct {
	Asker Asker
	// Label names the model in tables, for example "qwen-plus".
	Label string
	// Tries is how often one case is asked for in all while answers are invalid;
	// each new question says what was wrong. 0: DefaultTries.
	Tries int
}

// Name returns the label.
func (m *Model) Name() string { return cmp.Or(m.Label, "model") }

// Judge asks the question of docs/JUDGE.md. Answers that do not fit and requests
// that the server refuses end as ErrNoVerdict.
func (m *Model) Judge(ctx context.Context, c Case) (Verdict, error) {
	tries := cmp.Or(m.Tries, DefaultTries)
	if tries < 1 || tries > MaxTries || m.Asker == nil {
		return Verdict{}, fmt.Errorf("model judge: %w: %d tries and asker %v, want 1 to %d and one", poi.ErrBadInput, tries, m.Asker, MaxTries)
	}
	q := endpoint.Question{System: systemPrompt, User: UserPrompt(c), Name: "verdict", Schema: schemaOf(c)}
	var last error
	for try := range tries {
		asked := q
		if try > 0 {
			// Another question, or a cache and a model without chance would only
			// repeat themselves.
			asked.Seed = int64(try)
			asked.User += fmt.Sprintf("\n\nYour answer number %d could not be used: %s. Answer again.", try, oneLine(last.Error(), 300))
		}
		answer, err := m.Asker.Ask(ctx, asked)
		switch {
		case err == nil:
		case errors.Is(err, endpoint.ErrAnswer):
			last = err
			continue
		case errors.Is(err, endpoint.ErrRefused):
			return Verdict{}, fmt.Errorf("case %s: %w: %w", c.ID, ErrNoVerdict, err)
		default:
			return Verdict{}, fmt.Errorf("case %s: %w", c.ID, err)
		}
		v, err := decodeVerdict(answer, c)
		if err == nil {
			return v, nil
		}
		last = err
	}
	return Verdict{}, fmt.Errorf("case %s: %w after %d answers: %w", c.ID, ErrNoVerdict, tries, last)
}

// schemaOf is the answer to a case. Names are in the order of the alphabet, which
// is the order in which servers let a model write them: first thoughts, then
// places, the verdict last.
func schemaOf(c Case) *endpoint.Schema {
	flags := func(n int, list string) *endpoint.Schema {
		return &endpoint.Schema{Type: "array", Items: &endpoint.Schema{Type: "boolean"}, MinItems: n, MaxItems: n,
			Description: fmt.Sprintf("for each of the %d places of the %s list in order: does it suit the person now?", n, list)}
	}
	return &endpoint.Schema{Type: "object", Properties: map[string]*endpoint.Schema{
		"analysis":    {Type: "string", MaxLength: maxAnalysis, Description: "two or three sentences on what the person is likely to want"},
		"first_fits":  flags(len(c.A), "first"),
		"second_fits": flags(len(c.B), "second"),
		"verdict":     {Type: "string", Enum: []string{"first", "second", "even"}, Description: "which list is better as a whole"},
	}}
}

// decodeVerdict reads an answer and checks it again: an Asker is not to be trusted.
func decodeVerdict(answer json.RawMessage, c Case) (Verdict, error) {
	var a struct {
		Analysis   *string `json:"analysis"`
		FirstFits  []*bool `json:"first_fits"`
		SecondFits []*bool `json:"second_fits"`
		Verdict    *string `json:"verdict"`
	}
	if len(answer) > maxAnswer {
		return Verdict{}, fmt.Errorf("the answer has %d bytes, want at most %d", len(answer), maxAnswer)
	}
	dec := json.NewDecoder(bytes.NewReader(answer))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&a); err != nil {
		return Verdict{}, fmt.Errorf("the answer does not fit the schema: %w", err)
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return Verdict{}, errors.New("there is more after the JSON value")
	}
	if a.Analysis == nil || a.Verdict == nil {
		return Verdict{}, errors.New("analysis or verdict is missing")
	}
	outcome, ok := map[string]Outcome{"first": Win, "even": Even, "second": Lose}[*a.Verdict]
	if !ok {
		return Verdict{}, fmt.Errorf("verdict is %q, want first, second or even", oneLine(*a.Verdict, 40))
	}
	first, err1 := flagsOf(a.FirstFits, len(c.A), "first_fits")
	second, err2 := flagsOf(a.SecondFits, len(c.B), "second_fits")
	if err := cmp.Or(err1, err2); err != nil {
		return Verdict{}, err
	}
	return Verdict{System: outcome, A: first, B: second}, nil
}

func flagsOf(list []*bool, n int, name string) ([]bool, error) {
	if len(list) != n {
		return nil, fmt.Errorf("%s has %d entries, want %d, one a place", name, len(list), n)
	}
	out := make([]bool, n)
	for i, x := range list {
		if x == nil {
			return nil, fmt.Errorf("entry %d of %s is null, want true or false", i+1, name)
		}
		out[i] = *x
	}
	return out, nil
}

// oneLine collapses white space and control characters and cuts at max characters,
// so that no text from a log can look like a part of the prompt.
func oneLine(s string, most int) string {
	s = strings.Join(strings.FieldsFunc(strings.ToValidUTF8(s, ""), func(r rune) bool {
		return r <= ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == 0xa0 || r == 0x2028 || r == 0x2029
	}), " ")
	if runes := []rune(s); len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return s
}
