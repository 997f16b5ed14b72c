package client

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"maps"
	"net/http"
	"net/url"
	"strconv"
	"strings"

	"github.com/whereto/whereto/api"
)

const (
	maxLine     = 64 << 10 // bytes of one line of a bulk
	maxBulkSize = 4 << 20  // bytes of one bulk; it is kept in memory to be sent again
	maxRejected = 100      // rejected lines that a merged answer holds
)

// Each makes a list a sequence, as PutActions and PutPOIs take it.
func Each[T any](list []T) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for _, x := range list {
			if !yield(x, nil) {
				return
			}
		}
	}
}

// PutActions stores actions, a bulk at a time. The answer sums up all bulks; its line
// numbers count the whole sequence. Lines that the service rejects are in the answer
// and no error. On an error the answer is about the bulks before it; an error of the
// sequence itself ends the call, too. A busy service is asked again only for bulks
// in which every action has an id.
func (c *Client) PutActions(ctx context.Context, actions iter.Seq2[api.Action, error]) (api.BulkResponse, error) {
	return put(ctx, c, http.MethodPost, "/v1/actions", actions, func(a api.Action) bool { return a.ID != "" })
}

// PutPOIs adds places to the catalog or replaces them, in bulks as PutActions does.
func (c *Client) PutPOIs(ctx context.Context, pois iter.Seq2[api.POI, error]) (api.BulkResponse, error) {
	return put(ctx, c, http.MethodPut, "/v1/pois", pois, func(api.POI) bool { return true })
}

// bulk is the part of a sequence that one request takes.
type bulk struct {
	body  []byte
	lines int
	again bool
}

func put[T any](ctx context.Context, c *Client, method, route string, items iter.Seq2[T, error], again func(T) bool) (api.BulkResponse, error) {
	var done api.BulkResponse
	sent, b := 0, bulk{again: true}
	flush := func() error {
		if b.lines == 0 {
			return nil
		}
		err := c.putBulk(ctx, method, route, b, sent, &done)
		sent += b.lines
		b = bulk{body: b.body[:0], again: true}
		return err
	}
	for item, err := range items {
		at := sent + b.lines + 1
		if err != nil {
			return done, fmt.Errorf("%s %s: line %d: %w; lines from %d on were not sent", method, route, at, err, sent+1)
		}
		line, err := json.Marshal(item)
		if err != nil || len(line) >= maxLine {
			return done, fmt.Errorf("%s %s: line %d: %w: %d bytes (%v), want valid JSON of less than %d; lines from %d on were not sent", method, route, at, ErrInput, len(line), err, maxLine, sent+1)
		}
		if b.lines == api.MaxBulk || len(b.body)+len(line) >= maxBulkSize {
			if err := flush(); err != nil {
				return done, err
			}
		}
		b.body = append(append(b.body, line...), '\n')
		b.lines++
		b.again = b.again && again(item)
	}
	return done, flush()
}

// putBulk sends one bulk, whose first line is number before+1 of the sequence.
func (c *Client) putBulk(ctx context.Context, method, route string, b bulk, before int, done *api.BulkResponse) error {
	var got api.BulkResponse
	if err := c.do(ctx, call{method: method, route: route, kind: typeLines, body: b.body, again: b.again}, &got); err != nil {
		return fmt.Errorf("lines %d to %d: %w", before+1, before+b.lines, err)
	}
	if got.Accepted < 0 || got.Duplicate < 0 || got.Refused < len(got.Rejected) || got.Accepted+got.Duplicate+got.Refused != b.lines {
		return fmt.Errorf("%s %s: lines %d to %d: %w: %d accepted, %d duplicate and %d refused of %d lines; send them again, with ids, to be sure",
			method, route, before+1, before+b.lines, ErrAnswer, got.Accepted, got.Duplicate, got.Refused, b.lines)
	}
	done.Accepted += got.Accepted
	done.Duplicate += got.Duplicate
	done.Refused += got.Refused
	for _, r := range got.Rejected {
		if len(done.Rejected) == maxRejected {
			break
		}
		r.Line += before
		done.Rejected = append(done.Rejected, r)
	}
	return nil
}

// POIs lists the catalog, page after page; a box limits it. The sequence ends with
// its first error.
func (c *Client) POIs(ctx context.Context, box *api.Box) iter.Seq2[api.POI, error] {
	query := url.Values{}
	if box != nil {
		var parts []string
		for _, x := range []float64{box.West, box.South, box.East, box.North} {
			parts = append(parts, strconv.FormatFloat(x, 'f', -1, 64))
		}
		query.Set("bbox", strings.Join(parts, ","))
	}
	return pages[api.POI](ctx, c, query, "/v1/pois")
}

// POI is one place of the catalog.
func (c *Client) POI(ctx context.Context, id string) (api.POI, error) {
	return get[api.POI](ctx, c, "/v1/pois/{id}", id)
}

// DeletePOI takes a place out of the catalog.
func (c *Client) DeletePOI(ctx context.Context, id string) error {
	return c.do(ctx, call{method: http.MethodDelete, route: "/v1/pois/{id}", ids: []string{id}, again: true}, nil)
}

// Users lists the people with stored actions whose id begins with prefix.
func (c *Client) Users(ctx context.Context, prefix string) iter.Seq2[api.UserSummary, error] {
	query := url.Values{}
	if prefix != "" {
		query.Set("prefix", prefix)
	}
	return pages[api.UserSummary](ctx, c, query, "/v1/users")
}

// Actions lists what a person did.
func (c *Client) Actions(ctx context.Context, user string) iter.Seq2[api.Action, error] {
	return pages[api.Action](ctx, c, url.Values{}, "/v1/users/{user}/actions", user)
}

// DeleteUser removes every trace of a person.
func (c *Client) DeleteUser(ctx context.Context, user string) (api.Deleted, error) {
	var out api.Deleted
	err := c.do(ctx, call{method: http.MethodDelete, route: "/v1/users/{user}", ids: []string{user}, again: true}, &out)
	return out, err
}

// pages walks a list. A list whose cursors run in a circle would never end: one cursor
// is remembered, at doubling distances, and must not come again.
func pages[T any](ctx context.Context, c *Client, query url.Values, route string, ids ...string) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		var none T
		query := maps.Clone(query) // the sequence may be walked again, also at the same time
		query.Set("limit", strconv.Itoa(api.MaxPage))
		mark, next := "", 1
		for n := 1; ; n++ {
			var page api.Page[T]
			if err := c.do(ctx, call{method: http.MethodGet, route: route, ids: ids, query: query, again: true}, &page); err != nil {
				yield(none, err)
				return
			}
			for _, x := range page.Items {
				if !yield(x, nil) {
					return
				}
			}
			if page.Next == "" {
				return
			}
			if page.Next == mark {
				yield(none, fmt.Errorf("GET %s: %w: after page %d its cursors begin again", route, ErrAnswer, n))
				return
			}
			if n == next {
				mark, next = page.Next, 2*next
			}
			query.Set("cursor", page.Next)
		}
	}
}
