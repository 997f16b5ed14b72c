package client

import (
	"context"
	"fmt"
	"net/http"

	"github.com/whereto/whereto/api"
)

// Models lists the versions that the service knows.
func (c *Client) Models(ctx context.Context) ([]api.Model, error) {
	page, err := get[api.Page[api.Model]](ctx, c, "/v1/models")
	return page.Items, err
}

// Load makes a version ready to be activated. The context should leave it minutes.
func (c *Client) Load(ctx context.Context, version string) (api.Model, error) {
	if version == "" {
		return api.Model{}, fmt.Errorf("load a model: %w: version is empty; Models lists those there are", ErrInput)
	}
	return once[api.Model](ctx, c, "/v1/models", api.LoadRequest{Version: version})
}

// Activate makes a loaded version answer from now on.
func (c *Client) Activate(ctx context.Context, version string) (api.Model, error) {
	return once[api.Model](ctx, c, "/v1/models/{version}/activate", nil, version)
}

// RollBack makes the version before the active one answer again.
func (c *Client) RollBack(ctx context.Context) (api.Model, error) {
	return once[api.Model](ctx, c, "/v1/models/rollback", nil)
}

// Traffic says which versions answer beside the active one.
func (c *Client) Traffic(ctx context.Context) (api.Traffic, error) {
	return get[api.Traffic](ctx, c, "/v1/traffic")
}

// SetTraffic replaces the A/B split and the shadow.
func (c *Client) SetTraffic(ctx context.Context, t api.Traffic) error {
	q, err := withBody(http.MethodPut, "/v1/traffic", t)
	if err != nil {
		return err
	}
	q.again = true
	return c.do(ctx, q, nil)
}

// once posts what must not be sent twice.
func once[T any](ctx context.Context, c *Client, route string, body any, ids ...string) (T, error) {
	var out T
	q := call{method: http.MethodPost, route: route}
	if body != nil {
		var err error
		if q, err = withBody(http.MethodPost, route, body); err != nil {
			return out, err
		}
	}
	q.ids = ids
	err := c.do(ctx, q, &out)
	return out, err
}
