package serve

import (
	"context"

	"github.com/whereto/whereto/api"
)

type ofVersion struct {
	Version string `path:"version" maxLength:"128"`
}

const tagModels = "models"

// addModels registers the versions that answer, and how the service is.
func (s *Server) addModels() {
	ask(s, doc{id: "GET /v1/models", tag: tagModels, summary: "The versions that the service knows"},
		func(ctx context.Context, _ *struct{}) (*api.Page[api.Model], error) {
			return &api.Page[api.Model]{Items: s.o.Desk.Models()}, nil
		})
	ask(s, doc{id: "POST /v1/models", tag: tagModels, summary: "Load a version beside those that answer", text: "It is warm and ready to be activated when the answer arrives.",
		example: map[string]any{"version": "v2"}},
		func(ctx context.Context, in *told[api.LoadRequest]) (*api.Model, error) {
			return s.o.Desk.LoadModel(ctx, in.Body.Version)
		})
	ask(s, doc{id: "POST /v1/models/{version}/activate", tag: tagModels, summary: "Let a version answer from now on", text: "No request is lost over the change."},
		func(ctx context.Context, in *ofVersion) (*api.Model, error) {
			return s.o.Desk.ActivateModel(ctx, in.Version)
		})
	ask(s, doc{id: "POST /v1/models/rollback", tag: tagModels, summary: "Let the version before the active one answer again"},
		func(ctx context.Context, _ *struct{}) (*api.Model, error) { return s.o.Desk.RollBack(ctx) })
	ask(s, doc{id: "GET /v1/traffic", tag: tagModels, summary: "Which versions answer beside the active one"},
		func(ctx context.Context, _ *struct{}) (*api.Traffic, error) {
			return new(s.o.Desk.Traffic()), nil
		})
	ask(s, doc{id: "PUT /v1/traffic", tag: tagModels, summary: "Replace the split and the shadow",
		example: map[string]any{"split": []map[string]any{{"version": "v2", "share": 0.1}}, "shadow": "v3"}},
		func(ctx context.Context, in *told[api.Traffic]) (*api.Traffic, error) {
			if err := s.o.Desk.SetTraffic(ctx, in.Body); err != nil {
				return nil, err
			}
			return new(s.o.Desk.Traffic()), nil
		})
	ask(s, doc{id: "GET /v1/status", tag: tagModels, summary: "How the service is"},
		func(ctx context.Context, _ *struct{}) (*api.Status, error) { return s.status(ctx) })
}

// status adds the traffic to what the desk knows.
func (s *Server) status(ctx context.Context) (*api.Status, error) {
	out, err := s.o.Desk.Status(ctx)
	if err != nil {
		return nil, err
	}
	seen, err := s.o.Metrics.Snapshot()
	if err != nil {
		return nil, err
	}
	out.Version, out.Started, out.Gauges = s.o.Version, s.started, seen.Gauges
	out.Ready = out.Ready && !s.draining.Load()
	out.Routes = make([]api.RouteStatus, 0, len(seen.Routes))
	for _, r := range seen.Routes {
		out.Routes = append(out.Routes, api.RouteStatus(r))
	}
	return out, nil
}
