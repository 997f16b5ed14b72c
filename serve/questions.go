package serve

import (
	"context"
	"fmt"

	"github.com/whereto/whereto/api"
)

// FormatQuery chooses how places are written.
type FormatQuery struct {
	F string `query:"f" enum:"json,geojson" doc:"how to write the answer, whatever Accept says"`
}

// asked is a question in a body whose answer is places.
type asked[T any] struct {
	FormatQuery
	Body T
}

// told is a question in a body.
type told[T any] struct{ Body T }

const tagQuestions = "questions"

// addQuestions registers what runs the model.
func (s *Server) addQuestions() {
	ask(s, doc{id: "POST /v1/recommend", tag: tagQuestions, summary: "Where does a person go next?", geojson: true,
		text: "The past is that of user, or the history given; an unknown user with no history is answered from place and time alone. source says what answered.",
		example: map[string]any{"user": "ann", "time": "2026-05-04T12:10:00+02:00", "lat": 48.137, "lng": 11.575, "k": 5,
			"area": map[string]any{"radius_m": 2000}, "exclude": []string{"office-7"}}},
		func(ctx context.Context, in *asked[api.RecommendRequest]) (*api.RecommendResponse, error) {
			return s.recommend(ctx, &in.Body, "body.")
		})
	ask(s, doc{id: "POST /v1/rank", tag: tagQuestions, summary: "In what order do these places suit a person?", geojson: true,
		example: map[string]any{"user": "ann", "time": "2026-05-04T12:10:00+02:00", "lat": 48.137, "lng": 11.575, "candidates": []string{"cafe-1", "museum-3"}}},
		func(ctx context.Context, in *asked[api.RankRequest]) (*api.RankResponse, error) {
			f := faults{prefix: "body."}
			f.who(&in.Body.Who)
			f.once("candidates", in.Body.Candidates)
			if err := first(f.err(), coversWho(ctx, &in.Body.Who)); err != nil {
				return nil, err
			}
			return s.o.Desk.Rank(ctx, in.Body)
		})
	ask(s, doc{id: "POST /v1/embed", tag: tagQuestions, summary: "The vectors of a person and of places",
		example: map[string]any{"user": "ann", "pois": []string{"cafe-1"}}},
		func(ctx context.Context, in *told[api.EmbedRequest]) (*api.EmbedResponse, error) {
			f := faults{prefix: "body."}
			f.who(&in.Body.Who)
			if err := first(f.err(), coversWho(ctx, &in.Body.Who)); err != nil {
				return nil, err
			}
			return s.o.Desk.Embed(ctx, in.Body)
		})
	ask(s, doc{id: "POST /v1/similar", tag: tagQuestions, summary: "Places like one place", geojson: true,
		example: map[string]any{"poi": "cafe-1", "k": 5, "area": map[string]any{"radius_m": 1500}}},
		func(ctx context.Context, in *asked[api.SimilarRequest]) (*api.SimilarResponse, error) {
			f := faults{prefix: "body."}
			f.pair("", in.Body.Lat, in.Body.Lng)
			if err := first(f.err(), keyOf(ctx).Covers("", in.Body.Lat, in.Body.Lng)); err != nil {
				return nil, err
			}
			return s.o.Desk.Similar(ctx, in.Body)
		})
	ask(s, doc{id: "POST /v1/explain", tag: tagQuestions, summary: "Why this place, and what if?",
		text: "The first answer, or the place asked about, taken apart: the beam over areas, the weight of each past action, and the list at other moments.",
		example: map[string]any{"user": "ann", "time": "2026-05-04T12:10:00+02:00", "lat": 48.137, "lng": 11.575,
			"what_if": []map[string]any{{"time": "2026-05-04T18:00:00+02:00"}}}},
		func(ctx context.Context, in *told[api.ExplainRequest]) (*api.ExplainResponse, error) {
			return s.explain(ctx, &in.Body)
		})
}

// recommend is the question of both interfaces. Where names the request in its errors.
func (s *Server) recommend(ctx context.Context, q *api.RecommendRequest, where string) (*api.RecommendResponse, error) {
	f := faults{prefix: where}
	f.who(&q.Who)
	if err := first(f.err(), coversWho(ctx, &q.Who)); err != nil {
		return nil, err
	}
	return s.o.Desk.Recommend(ctx, *q)
}

func (s *Server) explain(ctx context.Context, q *api.ExplainRequest) (*api.ExplainResponse, error) {
	f := faults{prefix: "body."}
	f.who(&q.Who)
	for i, x := range q.WhatIf {
		at := fmt.Sprintf("what_if[%d].", i)
		f.pair(at, x.Lat, x.Lng)
		f.moment(at+"time", x.Time)
	}
	if err := first(f.err(), coversWho(ctx, &q.Who)); err != nil {
		return nil, err
	}
	for _, x := range q.WhatIf {
		if x.Lat == nil { // where the person is anyway
			continue
		}
		if err := keyOf(ctx).Covers(q.Scene, x.Lat, x.Lng); err != nil {
			return nil, err
		}
	}
	return s.o.Desk.Explain(ctx, *q)
}

// first returns the first error of several.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
