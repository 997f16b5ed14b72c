package client

import (
	"context"
	"net/http"

	"github.com/whereto/whereto/api"
)

// Recommend asks which places a person goes to next.
func (c *Client) Recommend(ctx context.Context, q api.RecommendRequest) (api.RecommendResponse, error) {
	return ask[api.RecommendResponse](ctx, c, "/v1/recommend", q)
}

// Rank asks in what order a person would take the candidates.
func (c *Client) Rank(ctx context.Context, q api.RankRequest) (api.RankResponse, error) {
	return ask[api.RankResponse](ctx, c, "/v1/rank", q)
}

// Embed asks for the vectors of a person, of places, or of both.
func (c *Client) Embed(ctx context.Context, q api.EmbedRequest) (api.EmbedResponse, error) {
	return ask[api.EmbedResponse](ctx, c, "/v1/embed", q)
}

// Similar asks for places like a place.
func (c *Client) Similar(ctx context.Context, q api.SimilarRequest) (api.SimilarResponse, error) {
	return ask[api.SimilarResponse](ctx, c, "/v1/similar", q)
}

// Explain asks why a place was recommended, and what would be recommended else.
func (c *Client) Explain(ctx context.Context, q api.ExplainRequest) (api.ExplainResponse, error) {
	return ask[api.ExplainResponse](ctx, c, "/v1/explain", q)
}

// Status is what the status page shows.
func (c *Client) Status(ctx context.Context) (api.Status, error) {
	return get[api.Status](ctx, c, "/v1/status")
}

// Ready is nil if the service can answer. A *Problem says what it lacks. It is asked
// once: the answer of now is the one wanted.
func (c *Client) Ready(ctx context.Context) error {
	return c.do(ctx, call{method: http.MethodGet, route: "/readyz"}, nil)
}

// Live is nil if the process answers at all.
func (c *Client) Live(ctx context.Context) error {
	return c.do(ctx, call{method: http.MethodGet, route: "/livez"}, nil)
}

// get reads one resource.
func get[T any](ctx context.Context, c *Client, route string, ids ...string) (T, error) {
	var out T
	err := c.do(ctx, call{method: http.MethodGet, route: route, ids: ids, again: true}, &out)
	return out, err
}
