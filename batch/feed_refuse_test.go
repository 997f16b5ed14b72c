package batch

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/whereto/whereto/poi"
)

func TestFeedRefusals(t *testing.T) {
	d, c, f, tasks := feedToy()
	long, short := slices.Clone(tasks), slices.Clone(tasks)
	request := *tasks[7].Request
	request.ID, request.Options = "too-long", make([]poi.Option, 3)
	long[7].Request = &request
	short[4].Extra = []float32{1}
	for name, x := range map[string]struct {
		tasks []FeedTask
		is    error
		says  string
	}{
		"too many options": {long, poi.ErrBadInput, "request too-long has 3 candidates, feed.options allows 2"},
		"half an extra":    {short, poi.ErrBadInput, "request 0-8 has 2 candidates and 1 extra values"},
		"no task":          {nil, poi.ErrEmpty, "no request to learn from"},
	} {
		_, err := NewFeedSampler(d, NewEncoder(d, c), x.tasks, f, nil, 1)
		if !errors.Is(err, x.is) || !strings.Contains(err.Error(), x.says) {
			t.Errorf("%s: error %v, want %v that says %q", name, err, x.is, x.says)
		}
	}
	visits, q := d.Users[0].Visits, []*poi.Request{tasks[1].Request, tasks[2].Request} // after 2 and 4 visits
	for want, x := range map[string]struct {
		n, m, c int
		row     FeedRow
	}{
		"2 options in a bucket of 1":                     {8, 1, 1, FeedRow{Visits: visits[:4], Requests: q[1:]}},
		"request after 4 visits in a window from 5 to 6": {8, 1, 2, FeedRow{Visits: visits[:6], From: 5, Requests: q[1:]}},
		"request after 4 visits in a window from 0 to 2": {8, 1, 2, FeedRow{Visits: visits[:2], Requests: q[1:]}},
		"window of 4 actions in a bucket of 3":           {3, 1, 2, FeedRow{Visits: visits[:4], Requests: q[1:]}},
		"2 requests of a window in a bucket of 1":        {8, 1, 2, FeedRow{Visits: visits[:4], Requests: q}},
	} {
		func() {
			defer func() {
				if r := recover(); r == nil || !strings.Contains(fmt.Sprint(r), want) {
					t.Errorf("recovered %v, want %q", r, want)
				}
			}()
			NewEncoder(d, c).EncodeFeed([]FeedRow{x.row}, Shape{B: 1, N: x.n, M: x.m, C: x.c}, nil)
		}()
	}
}

func TestFeedValidate(t *testing.T) {
	if err := DefaultFeed().Validate(); err != nil {
		t.Errorf("the default: %v", err)
	}
	for want, c := range map[string]FeedConfig{
		"feed.requests is 0": {0, 2, 1, 1, 0, 0, 0, 1}, "feed.requests is 257": {257, 2, 1, 1, 0, 0, 0, 1}, "feed.options is 1": {1, 1, 1, 1, 0, 0, 0, 1},
		"feed.options is 1025": {1, 1025, 1, 1, 0, 0, 0, 1}, "feed.size is 0": {1, 2, 0, 1, 0, 0, 0, 1}, "feed.size is 65537": {1, 2, 65537, 1, 0, 0, 0, 1},
		"feed.until is 0": {1, 2, 1, 0, 0, 0, 0, 1}, "feed.until is 1.5": {1, 2, 1, 1.5, 0, 0, 0, 1},
		"feed.folds is 1": {1, 8, 1, 1, 1, 0, 0, 1}, "feed.folds is 65": {1, 8, 1, 1, 65, 0, 0, 1}, "feed.folds is -1": {1, 8, 1, 1, -1, 0, 0, 1},
		"feed.fold is 2, want 0 to 1": {1, 8, 1, 1, 2, 2, 0, 1}, "feed.fold is 1, want 0 to 0": {1, 8, 1, 1, 0, 1, 0, 1}, "feed.fold is -1": {1, 8, 1, 1, 2, -1, 0, 1},
		"feed.visits is -1": {1, 8, 1, 1, 0, 0, -1, 1}, "feed.rivals is 0": {1, 8, 1, 1, 0, 0, 1, 0}, "feed.rivals is 8, want 1 to 7": {1, 8, 1, 1, 0, 0, 1, 8},
	} {
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: error %v, want %q", c, err, want)
		}
	}
}
