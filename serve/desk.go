package serve

import (
	"context"

	"github.com/whereto/whereto/api"
)

// Desk answers requests in the words of package api; *desk.Desk is one. Its errors are
// sorted by desk.KindOf.
type Desk interface {
	Recommend(ctx context.Context, r api.RecommendRequest) (*api.RecommendResponse, error)
	Rank(ctx context.Context, r api.RankRequest) (*api.RankResponse, error)
	Embed(ctx context.Context, r api.EmbedRequest) (*api.EmbedResponse, error)
	Similar(ctx context.Context, r api.SimilarRequest) (*api.SimilarResponse, error)
	Explain(ctx context.Context, r api.ExplainRequest) (*api.ExplainResponse, error)

	// PutActions stores what is right of a batch, all of it or, on an error, nothing.
	// Lines of Rejected count from 1 in the batch.
	PutActions(ctx context.Context, actions []api.Action) (*api.BulkResponse, error)
	Actions(ctx context.Context, user, cursor string, limit int) (*api.Page[api.Action], error)
	Users(ctx context.Context, prefix, cursor string, limit int) (*api.Page[api.UserSummary], error)
	DeleteUser(ctx context.Context, user string) (*api.Deleted, error)

	PutPOIs(ctx context.Context, pois []api.POI) (*api.BulkResponse, error)
	POIs(ctx context.Context, cursor string, limit int, box *api.Box) (*api.Page[api.POI], error)
	POI(ctx context.Context, id string) (*api.POI, error)
	ClosePOI(ctx context.Context, id string) error

	Models() []api.Model
	LoadModel(ctx context.Context, version string) (*api.Model, error)
	ActivateModel(ctx context.Context, version string) (*api.Model, error)
	RollBack(ctx context.Context) (*api.Model, error)
	// SetTraffic replaces the A/B split and the shadow.
	SetTraffic(ctx context.Context, t api.Traffic) error
	Traffic() api.Traffic

	// Ready says of every part whether it works: store, model, warm-up.
	Ready(ctx context.Context) []api.Check
	// Status fills counts, models, checks and the shadow; serve adds traffic.
	Status(ctx context.Context) (*api.Status, error)
}
