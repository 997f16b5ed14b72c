package desk

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/region"
	"github.com/whereto/whereto/store"
)

// rejectedShown bounds the rejected lines that an answer lists.
const rejectedShown = 100

// reject enters a line that is not stored.
func reject(out *api.BulkResponse, line int, err error) {
	out.Refused++
	if len(out.Rejected) == rejectedShown {
		return
	}
	r := api.Rejected{Line: line, Reason: err.Error()}
	var field *FieldError
	var invalid *store.Invalid
	switch {
	case errors.As(err, &field):
		r.Field, r.Reason = field.Field, field.Reason
	case errors.As(err, &invalid):
		r.Field, r.Reason = invalid.Field, invalid.Reason
	}
	out.Rejected = append(out.Rejected, r)
}

// PutActions stores what is right of a batch. When it returns without an error, what it
// accepted survives a crash.
func (d *Desk) PutActions(ctx context.Context, actions []api.Action) (*api.BulkResponse, error) {
	out := &api.BulkResponse{Rejected: []api.Rejected{}}
	var good []store.Action
	for i := range actions {
		a, err := actionOf(&actions[i], region.WGS84, "")
		if err == nil {
			err = store.CheckAction(*a)
		}
		if err == nil && actions[i].Time.After(d.o.Now().Add(24*time.Hour)) {
			err = bad("time", nil, "%s is more than a day ahead of the clock here", actions[i].Time.Format(time.RFC3339))
		}
		if err != nil {
			reject(out, i+1, trimField(err))
			continue
		}
		good = append(good, *a)
	}
	if len(good) > 0 {
		res, err := d.o.Store.Append(ctx, good)
		if err != nil {
			return nil, d.failed("append", err)
		}
		out.Accepted = res.Count()
		out.Duplicate = len(good) - out.Accepted
		d.remember(good, res.New)
	}
	if h := d.o.Hooks.Stored; h != nil {
		h(out.Accepted, out.Duplicate, out.Refused)
	}
	return out, nil
}

// trimField takes the dot off the fields of an action that is not inside a history.
func trimField(err error) error {
	var f *FieldError
	if errors.As(err, &f) && len(f.Field) > 0 && f.Field[0] == '.' {
		f.Field = f.Field[1:]
	}
	return err
}

// remember tells those who keep pasts of actions that were new.
func (d *Desk) remember(actions []store.Action, isNew []bool) {
	by := map[string][]store.Action{}
	for i := range actions {
		if !isNew[i] {
			continue
		}
		a := actions[i]
		by[a.User] = append(by[a.User], a)
		if d.o.Hooks.Acted != nil {
			d.o.Hooks.Acted(a.User, a.POI, time.UnixMilli(a.TimeMS))
		}
	}
	for user, list := range by {
		slices.SortStableFunc(list, func(a, b store.Action) int { return int(min(1, max(-1, a.TimeMS-b.TimeMS))) })
		d.people.acted(user, list)
	}
}

// Actions lists what is stored of a user, oldest first.
func (d *Desk) Actions(ctx context.Context, user, cursor string, limit int) (*api.Page[api.Action], error) {
	if err := store.CheckUser(user); err != nil {
		return nil, bad("user", user, "%v", err)
	}
	page, next, err := d.o.Store.ActionsPage(ctx, user, cursor, limitOf(limit))
	if err != nil {
		return nil, d.failed("actions", err)
	}
	out := &api.Page[api.Action]{Items: make([]api.Action, len(page)), Next: next}
	for i, a := range page {
		out.Items[i] = api.Action{ID: a.ID, User: a.User, POI: a.POI, Time: at(a.TimeMS, a.OffsetMin), Type: a.Type}
		if a.HasUser {
			out.Items[i].Lat, out.Items[i].Lng = &page[i].UserLat, &page[i].UserLng
		}
	}
	return out, nil
}

func at(ms int64, offsetMin int16) time.Time {
	return time.UnixMilli(ms).In(time.FixedZone("", 60*int(offsetMin)))
}

// limitOf is the size of a page that was asked for.
func limitOf(limit int) int {
	if limit == 0 {
		return 100
	}
	return limit
}

// Users lists people whose names begin with prefix.
func (d *Desk) Users(ctx context.Context, prefix, cursor string, limit int) (*api.Page[api.UserSummary], error) {
	page, next, err := d.o.Store.UsersPage(ctx, prefix, cursor, limitOf(limit))
	if err != nil {
		return nil, d.failed("users", err)
	}
	out := &api.Page[api.UserSummary]{Items: make([]api.UserSummary, len(page)), Next: next}
	for i, u := range page {
		out.Items[i] = api.UserSummary{User: u.User, Actions: u.Actions, Last: at(u.LastMS, u.LastOffsetMin)}
	}
	return out, nil
}

// DeleteUser removes every trace of a user that the store has, and those in memory. The
// training data of a loaded model is not the store's: a model forgets a person when it is
// trained without him.
func (d *Desk) DeleteUser(ctx context.Context, user string) (*api.Deleted, error) {
	if err := store.CheckUser(user); err != nil {
		return nil, bad("user", user, "%v", err)
	}
	n, err := d.o.Store.DeleteUser(ctx, user)
	if err != nil {
		return nil, d.failed("delete", err)
	}
	d.people.forget(user)
	if d.o.Hooks.Forgot != nil {
		d.o.Hooks.Forgot(user)
	}
	return &api.Deleted{User: user, Actions: n}, nil
}

// PutPOIs makes places be as given. They are answered with when it returns.
func (d *Desk) PutPOIs(ctx context.Context, pois []api.POI) (*api.BulkResponse, error) {
	out := &api.BulkResponse{Rejected: []api.Rejected{}}
	var good []store.POI
	for i, p := range pois {
		s := store.POI{ID: p.ID, Name: p.Name, Category: p.Category, Lat: plain(p.Lat), Lng: plain(p.Lng), Closed: p.Closed}
		if err := store.CheckPOI(s); err != nil {
			reject(out, i+1, err)
			continue
		}
		good = append(good, s)
	}
	if len(good) == 0 {
		return out, nil
	}
	changed, err := d.o.Store.UpsertPOIs(ctx, good)
	if err != nil {
		return nil, d.failed("upsert", err)
	}
	out.Accepted, out.Duplicate = changed, len(good)-changed
	return out, d.failed("follow", d.follow(ctx))
}

// ClosePOI marks a place as closed: it is never answered with, and keeps its meaning in
// histories. A place that only the model knows enters the catalog as closed.
func (d *Desk) ClosePOI(ctx context.Context, id string) error {
	err := d.o.Store.ClosePOI(ctx, id)
	if errors.Is(err, store.ErrNotFound) {
		p, known := d.known(id)
		if !known {
			return noPOI(id)
		}
		_, err = d.o.Store.UpsertPOIs(ctx, []store.POI{{ID: p.ID, Name: p.Name, Category: p.Category, Lat: p.Lat, Lng: p.Lng, Closed: true}})
	}
	if err != nil {
		return d.failed("close", err)
	}
	return d.failed("follow", d.follow(ctx))
}

func noPOI(id string) error { return fmt.Errorf("POI %q: %w", id, store.ErrNotFound) }

// known is a place of the active model.
func (d *Desk) known(id string) (poi.Place, bool) {
	lease, err := d.models.Pick("", "")
	if err != nil {
		return poi.Place{}, false
	}
	defer lease.Release()
	p, ok := lease.Engine.p.Lookup(id)
	if !ok {
		return poi.Place{}, false
	}
	return lease.Engine.p.Dataset.Places[p], true
}

// POI returns one place of the catalog, or of the active model.
func (d *Desk) POI(ctx context.Context, id string) (*api.POI, error) {
	own, known := d.known(id)
	p, err := d.o.Store.POI(ctx, id)
	switch {
	case err == nil:
		return &api.POI{ID: p.ID, Name: p.Name, Category: p.Category, Lat: p.Lat, Lng: p.Lng, Closed: p.Closed, Known: known}, nil
	case known && errors.Is(err, store.ErrNotFound):
		return &api.POI{ID: own.ID, Name: own.Name, Category: own.Category, Lat: own.Lat, Lng: own.Lng, Closed: own.Closed, Known: true}, nil
	case errors.Is(err, store.ErrNotFound): // said once for all stores: each has its driver's words for it
		return nil, noPOI(id)
	}
	return nil, d.failed("poi", err)
}

// POIs lists the catalog by id.
func (d *Desk) POIs(ctx context.Context, cursor string, limit int, box *api.Box) (*api.Page[api.POI], error) {
	var within *store.Box
	if box != nil {
		if _, err := region.New(region.Parts{Box: &region.Box{South: box.South, West: box.West, North: box.North, East: box.East}}); err != nil {
			return nil, err
		}
		within = &store.Box{South: box.South, West: box.West, North: box.North, East: box.East}
	}
	page, next, err := d.o.Store.POIsPage(ctx, cursor, limitOf(limit), within)
	if err != nil {
		return nil, d.failed("pois", err)
	}
	out := &api.Page[api.POI]{Items: make([]api.POI, len(page)), Next: next}
	known := func(string) bool { return false }
	if lease, err := d.models.Pick("", ""); err == nil {
		defer lease.Release()
		known = func(id string) bool { _, ok := lease.Engine.p.Lookup(id); return ok }
	}
	for i, p := range page {
		out.Items[i] = api.POI{ID: p.ID, Name: p.Name, Category: p.Category, Lat: p.Lat, Lng: p.Lng, Closed: p.Closed, Known: known(p.ID)}
	}
	return out, nil
}
