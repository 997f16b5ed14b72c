package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/whereto/whereto/store"
)

const poiColumns = "p.id, p.name, p.category, p.lat, p.lng, p.closed, p.revision"

func scanPOI(scan func(...any) error, p *store.POI) error {
	return scan(&p.ID, &p.Name, &p.Category, &p.Lat, &p.Lng, &p.Closed, &p.Revision)
}

// UpsertPOIs stores places; see store.POIs.
func (s *Store) UpsertPOIs(ctx context.Context, pois []store.POI) (int, error) {
	if err := store.CheckPOIs(pois); err != nil || len(pois) == 0 {
		return 0, err
	}
	changed := 0
	err := s.change(ctx, fmt.Sprintf("store %d POIs", len(pois)), func(tx *sql.Tx) error {
		for _, p := range store.LastOfEach(pois) {
			did, err := upsertPOI(ctx, tx, p)
			if err != nil {
				return fmt.Errorf("POI %q: %w", p.ID, err)
			}
			if did {
				changed++
			}
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return changed, nil
}

func upsertPOI(ctx context.Context, tx *sql.Tx, p store.POI) (changed bool, err error) {
	var num int64
	err = tx.QueryRowContext(ctx, `INSERT INTO poi (id, name, category, lat, lng, closed, revision)
		VALUES (?, ?, ?, ?, ?, ?, (SELECT last + 1 FROM poi_revision))
		ON CONFLICT (id) DO UPDATE SET name = excluded.name, category = excluded.category, lat = excluded.lat,
			lng = excluded.lng, closed = excluded.closed, revision = excluded.revision
		WHERE (name, category, lat, lng, closed) IS NOT (excluded.name, excluded.category, excluded.lat, excluded.lng, excluded.closed)
		RETURNING num`, p.ID, p.Name, p.Category, p.Lat, p.Lng, p.Closed).Scan(&num)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil // it is as given already
	}
	if err != nil {
		return false, err
	}
	if _, err := tx.ExecContext(ctx, "UPDATE poi_revision SET last = last + 1"); err != nil {
		return false, err
	}
	_, err = tx.ExecContext(ctx, "INSERT OR REPLACE INTO poi_place VALUES (?, ?, ?, ?, ?)", num, p.Lat, p.Lat, p.Lng, p.Lng)
	return true, err
}

// POI returns one place; see store.POIs.
func (s *Store) POI(ctx context.Context, id string) (store.POI, error) {
	if err := store.CheckID(id); err != nil {
		return store.POI{}, err
	}
	var p store.POI
	err := scanPOI(s.read.QueryRowContext(ctx, "SELECT "+poiColumns+" FROM poi p WHERE p.id = ?", id).Scan, &p)
	if err != nil {
		return store.POI{}, wrap(ctx, fmt.Sprintf("read the POI %q", id), err)
	}
	return p, nil
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
	var statement string
	var args []any
	if box == nil {
		statement, args = "SELECT "+poiColumns+" FROM poi p WHERE p.id > ?", []any{after.Name}
	} else {
		statement, args = inBox(*box, after.Name)
	}
	pois, err := query(ctx, s.read, scanPOI, statement+" ORDER BY 1 LIMIT ?", append(args, limit+1)...)
	if err != nil {
		return nil, "", wrap(ctx, "list POIs", err)
	}
	pois, next := store.NextPage(pois, limit, store.ListPOIs, filter, func(p store.POI) store.Position {
		return store.Position{Name: p.ID}
	})
	return pois, next, nil
}

// margin, in degrees, is added to a box for the R*Tree: that keeps numbers of 32 bits,
// rounded outwards, but those nearest to zero become zero.
const margin = 1e-9

// inBox selects through the R*Tree, which finds a little too much; the table has the
// exact position.
func inBox(box store.Box, after string) (statement string, args []any) {
	for i, span := range box.Spans() {
		if i > 0 {
			statement += " UNION ALL "
		}
		statement += "SELECT " + poiColumns + ` FROM poi_place t CROSS JOIN poi p ON p.num = t.num
			WHERE t.north >= ? AND t.south <= ? AND t.east >= ? AND t.west <= ?
			AND p.lat BETWEEN ? AND ? AND p.lng BETWEEN ? AND ? AND p.id > ?`
		args = append(args, box.South-margin, box.North+margin, span.West-margin, span.East+margin,
			box.South, box.North, span.West, span.East, after)
	}
	return statement, args
}

// ClosePOI marks a place as closed; see store.POIs.
func (s *Store) ClosePOI(ctx context.Context, id string) error {
	if err := store.CheckID(id); err != nil {
		return err
	}
	return s.change(ctx, fmt.Sprintf("close the POI %q", id), func(tx *sql.Tx) error {
		var closed bool
		if err := tx.QueryRowContext(ctx, "SELECT closed FROM poi WHERE id = ?", id).Scan(&closed); err != nil || closed {
			return err
		}
		if _, err := tx.ExecContext(ctx, "UPDATE poi_revision SET last = last + 1"); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, "UPDATE poi SET closed = 1, revision = (SELECT last FROM poi_revision) WHERE id = ?", id)
		return err
	})
}

// POIsSince returns changed places; see store.POIs.
func (s *Store) POIsSince(ctx context.Context, revision int64, limit int) ([]store.POI, int64, error) {
	if err := store.CheckPage("limit", "", limit); err != nil {
		return nil, 0, err
	}
	pois, err := query(ctx, s.read, scanPOI,
		"SELECT "+poiColumns+" FROM poi p WHERE p.revision > ? ORDER BY p.revision LIMIT ?", revision, limit)
	if err != nil {
		return nil, 0, wrap(ctx, fmt.Sprintf("list the POIs changed since revision %d", revision), err)
	}
	if len(pois) > 0 {
		revision = pois[len(pois)-1].Revision
	}
	return pois, revision, nil
}
