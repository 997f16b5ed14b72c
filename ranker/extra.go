package ranker

import (
	"errors"
	"fmt"
	"math"

	"github.com/whereto/whereto/poi"
)

// Extra is features of other models for the options of one feed: the logits of
// the generative ranker, the vectors of the embedding model (paper section 4.1.4).
// Rows are found by the request's ID, so that a request may be a copy.
//
// A model that was trained on a training request scores it too well, and a base
// ranker that learns from such scores trusts them too much: train the other model
// on the requests of Config.WarmUp only, or on other people.
type Extra struct {
	feed    *poi.Feed
	row     map[string]int
	names   []string
	columns []column
}

// column writes width features of option j of request i.
type column struct {
	width int
	fill  func(i, j int, place int32, dst []float32)
}

// NewExtra returns an Extra without features for the requests of feed.
func NewExtra(feed *poi.Feed) (*Extra, error) {
	e := &Extra{feed: feed, row: make(map[string]int, len(feed.Requests))}
	for i, r := range feed.Requests {
		if _, twice := e.row[r.ID]; twice {
			return nil, fmt.Errorf("extra features: two requests have the ID %q: %w", r.ID, poi.ErrBadInput)
		}
		e.row[r.ID] = i
	}
	return e, nil
}

// Names of the features, in order; empty for a nil Extra.
func (e *Extra) Names() []string {
	if e == nil {
		return nil
	}
	return e.names
}

// AddScores adds one feature from scores[i][j] of option j of feed.Requests[i],
// for example logits: monotone and unbounded serve a ranker better than
// probabilities. The scores are not copied.
func (e *Extra) AddScores(name string, scores [][]float64) error {
	if len(scores) != len(e.feed.Requests) {
		return fmt.Errorf("extra feature %s: scores of %d requests, the feed has %d: %w", name, len(scores), len(e.feed.Requests), poi.ErrBadInput)
	}
	for i, r := range e.feed.Requests {
		if len(scores[i]) != len(r.Options) {
			return fmt.Errorf("extra feature %s, request %s: %d scores for %d options: %w", name, r.ID, len(scores[i]), len(r.Options), poi.ErrBadInput)
		}
		for j, x := range scores[i] {
			if math.IsNaN(x) || math.Abs(x) > math.MaxFloat32 {
				return fmt.Errorf("extra feature %s, request %s, option %d: score %v: %w", name, r.ID, j, x, poi.ErrBadInput)
			}
		}
	}
	return e.add(name, []string{name}, func(i, j int, _ int32, dst []float32) { dst[0] = float32(scores[i][j]) })
}

// AddVectors adds the cosine of requests[i], the vector of feed.Requests[i], and
// places[p], that of dense POI p; with products also every product of their
// normalised elements, so that the ranker can weigh them. Zero vectors have
// cosine 0. The vectors are not copied.
func (e *Extra) AddVectors(name string, requests, places [][]float32, products bool) error {
	if len(requests) != len(e.feed.Requests) {
		return fmt.Errorf("extra feature %s: vectors of %d requests, the feed has %d: %w", name, len(requests), len(e.feed.Requests), poi.ErrBadInput)
	}
	if len(places) == 0 || len(places[0]) == 0 {
		return fmt.Errorf("extra feature %s: no vectors of places: %w", name, poi.ErrEmpty)
	}
	dim := len(places[0])
	ofRequests, err1 := scales(requests, dim)
	ofPlaces, err2 := scales(places, dim)
	if err := errors.Join(err1, err2); err != nil {
		return fmt.Errorf("extra feature %s: %w", name, err)
	}
	for _, r := range e.feed.Requests {
		for _, o := range r.Options {
			if int(o.POI) >= len(places) {
				return fmt.Errorf("extra feature %s, request %s: POI %d of %d: %w", name, r.ID, o.POI, len(places), poi.ErrUnknownPOI)
			}
		}
	}
	names := []string{name + " cosine"}
	if products {
		for k := range dim {
			names = append(names, fmt.Sprintf("%s product %d", name, k))
		}
	}
	return e.add(name, names, func(i, _ int, place int32, dst []float32) {
		u, v, scale := requests[i], places[place], ofRequests[i]*ofPlaces[place]
		cosine := 0.0
		for k := range u {
			x := float64(u[k]) * float64(v[k]) * scale
			cosine += x
			if products {
				dst[1+k] = float32(x)
			}
		}
		dst[0] = float32(cosine)
	})
}

// scales returns one over the length of each vector, 0 for a zero vector.
func scales(vectors [][]float32, dim int) ([]float64, error) {
	out := make([]float64, len(vectors))
	for i, v := range vectors {
		if len(v) != dim {
			return nil, fmt.Errorf("vector %d has %d numbers, want %d: %w", i, len(v), dim, poi.ErrBadInput)
		}
		sum := 0.0
		for _, x := range v {
			sum += float64(x) * float64(x)
		}
		if math.IsNaN(sum) || math.IsInf(sum, 0) {
			return nil, fmt.Errorf("vector %d is not finite: %w", i, poi.ErrBadInput)
		}
		if sum > 0 {
			out[i] = 1 / math.Sqrt(sum)
		}
	}
	return out, nil
}

func (e *Extra) add(name string, names []string, fill func(i, j int, place int32, dst []float32)) error {
	for _, have := range e.names {
		for _, n := range names {
			if n == have {
				return fmt.Errorf("extra feature %s is there twice: %w", name, poi.ErrBadInput)
			}
		}
	}
	e.names = append(e.names, names...)
	e.columns = append(e.columns, column{len(names), fill})
	return nil
}

func (e *Extra) width() int {
	if e == nil {
		return 0
	}
	return len(e.names)
}

// put writes the features of request r behind the first own columns of its rows,
// each width wide.
func (e *Extra) put(rows []float32, width, own int, r *poi.Request) error {
	if e.width() == 0 {
		return nil
	}
	i, ok := e.row[r.ID]
	if !ok {
		return fmt.Errorf("extra features do not know the request: %w; give scores and vectors of every request of the feed", poi.ErrBadInput)
	}
	of := e.feed.Requests[i]
	if len(of.Options) != len(r.Options) {
		return fmt.Errorf("%d options, its extra features are of %d: %w", len(r.Options), len(of.Options), poi.ErrBadInput)
	}
	for j, o := range r.Options {
		// The options may come in another order than in the feed.
		from := j
		if of.Options[j].POI != o.POI {
			from = -1
			for k := range of.Options {
				if of.Options[k].POI == o.POI {
					from = k
				}
			}
		}
		if from < 0 {
			return fmt.Errorf("option %d is POI %d, which the extra features of this request lack: %w", j, o.POI, poi.ErrUnknownPOI)
		}
		at := j*width + own
		for _, c := range e.columns {
			c.fill(i, from, o.POI, rows[at:at+c.width])
			at += c.width
		}
	}
	return nil
}
