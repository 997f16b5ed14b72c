package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/whereto/whereto/store"
)

const poiColumns = "p.id, p.name, p.category, p.lat, p.lng, p.closed, p.revision"

// putPOIs numbers the given rows from the counter on; numbers of rows that stay as they
// are fall out, which leaves gaps and nothing worse.
const putPOIs = `INSERT INTO whereto_poi AS p (id, name, category, lat, lng, closed, revision)
	SELECT g.id, g.name, g.category, g.lat, g.lng, g.closed, $7::bigint + g.place
	FROM unnest($1::text[], $2::text[], $3::text[], $4::float8[], $5::float8[], $6::bool[])
		WITH ORDINALITY AS g (id, name, category, lat, lng, closed, place)
	ORDER BY g.place
	ON CONFLICT (id) DO UPDATE SET name = excluded.name, category = excluded.category, lat = excluded.lat,
		lng = excluded.lng, closed = excluded.closed, revision = excluded.revision
	WHERE (p.name, p.category, p.lat, p.lng, p.closed) IS DISTINCT FROM
		(excluded.name, excluded.category, excluded.lat, excluded.lng, excluded.closed)`

// UpsertPOIs stores places; see store.POIs.
func (s *Store) UpsertPOIs(ctx context.Context, pois []store.POI) (int, error) {
	if err := store.CheckPOIs(pois); err != nil || len(pois) == 0 {
		return 0, err
	}
	given := store.LastOfEach(pois)
	n := len(given)
	ids, names, categories := make([]string, n), make([]string, n), make([]string, n)
	lats, lngs, closed := make([]float64, n), make([]float64, n), make([]bool, n)
	for i, p := range given {
		ids[i], names[i], categories[i] = p.ID, p.Name, p.Category
		lats[i], lngs[i], closed[i] = p.Lat, p.Lng, p.Closed
	}
	changed := 0
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		before, err := takeRevisions(ctx, tx, n)
		if err != nil {
			return err
		}
		put, err := tx.Exec(ctx, putPOIs, ids, names, categories, lats, lngs, closed, before)
		changed = int(put.RowsAffected())
		return err
	})
	if err != nil {
		return 0, wrap(ctx, fmt.Sprintf("store %d POIs", len(pois)), err)
	}
	return changed, nil
}

// takeRevisions returns the last revision given out and takes the next n. The counter's
// row stays locked until the commit, so revisions become visible in their order and a
// follower misses none.
func takeRevisions(ctx context.Context, tx pgx.Tx, n int) (before int64, err error) {
	err = tx.QueryRow(ctx, "UPDATE whereto_poi_revision SET last = last + $1 RETURNING last", int64(n)).Scan(&before)
	return before - int64(n), err
}

// POI returns one place; see store.POIs.
func (s *Store) POI(ctx context.Context, id string) (store.POI, error) {
	if err := store.CheckID(id); err != nil {
		return store.POI{}, err
	}
	rows, err := s.pool.Query(ctx, "SELECT "+poiColumns+" FROM whereto_poi p WHERE p.id = $1", id)
	if err == nil {
		var p store.POI
		if p, err = pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[store.POI]); err == nil {
			return p, nil
		}
	}
	return store.POI{}, wrap(ctx, fmt.Sprintf("read the POI %q", id), err)
}

// POIsPage lists places; see store.POIs.
func (s *Store) POIsPage(ctx context.Context, cursor string, limit int, box *store.Box) ([]store.POI, string, error) {
	if err := errors.Join(store.CheckPage("limit", "", limit), store.CheckBox(box)); err != nil {
		return nil, "", err
	}
	filter := store.BoxFilter(box)
	after, _, err := store.DecodeCursor(store.ListPOIs, filter, cursor)
	if err != nil {
		return nil, "", err
	}
	statement := "SELECT " + poiColumns + " FROM whereto_poi p WHERE p.id > $1"
	args := []any{after.Name, limit + 1}
	if box != nil {
		spans := box.Spans()
		west, east := spans[0], spans[len(spans)-1] // the same if there is one
		statement += ` AND (point(p.lng, p.lat) <@ box(point($3, $7), point($4, $8)) OR point(p.lng, p.lat) <@ box(point($5, $7), point($6, $8)))
			AND p.lat BETWEEN $7 AND $8 AND (p.lng BETWEEN $3 AND $4 OR p.lng BETWEEN $5 AND $6)`
		args = append(args, west.West, west.East, east.West, east.East, box.South, box.North)
	}
	pois, err := query(ctx, s, pgx.RowToStructByPos[store.POI], statement+" ORDER BY p.id LIMIT $2", args...)
	if err != nil {
		return nil, "", wrap(ctx, "list POIs", err)
	}
	pois, next := store.NextPage(pois, limit, store.ListPOIs, filter, func(p store.POI) store.Position {
		return store.Position{Name: p.ID}
	})
	return pois, next, nil
}

// ClosePOI marks a place as closed; see store.POIs.
func (s *Store) ClosePOI(ctx context.Context, id string) error {
	if err := store.CheckID(id); err != nil {
		return err
	}
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		// The counter is locked before the POI, as UpsertPOIs does: two orders would let
		// two callers wait for each other.
		before, err := takeRevisions(ctx, tx, 1)
		if err != nil {
			return err
		}
		var closed bool
		if err := tx.QueryRow(ctx, "SELECT closed FROM whereto_poi WHERE id = $1", id).Scan(&closed); err != nil || closed {
			return err
		}
		_, err = tx.Exec(ctx, "UPDATE whereto_poi SET closed = true, revision = $2 WHERE id = $1", id, before+1)
		return err
	})
	return wrap(ctx, fmt.Sprintf("close the POI %q", id), err)
}

// POIsSince returns changed places; see store.POIs.
func (s *Store) POIsSince(ctx context.Context, revision int64, limit int) ([]store.POI, int64, error) {
	if err := store.CheckPage("limit", "", limit); err != nil {
		return nil, 0, err
	}
	pois, err := query(ctx, s, pgx.RowToStructByPos[store.POI],
		"SELECT "+poiColumns+" FROM whereto_poi p WHERE p.revision > $1 ORDER BY p.revision LIMIT $2", revision, limit)
	if err != nil {
		return nil, 0, wrap(ctx, fmt.Sprintf("list the POIs changed since revision %d", revision), err)
	}
	if len(pois) > 0 {
		revision = pois[len(pois)-1].Revision
	}
	return pois, revision, nil
}
