package postgres

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/whereto/whereto/store"
)

// migrationLock keeps replicas that start together from changing tables at once.
const migrationLock = 0x5748544f

// migrations lead from nothing to this version's tables; steps are only ever added.
// COLLATE "C" compares text by its bytes. Boxes are found through points, whose
// comparison forgives a millionth; the columns have the last word.
var migrations = []string{`
CREATE TABLE whereto_person (
	num     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	name    text COLLATE "C" NOT NULL UNIQUE,
	actions bigint NOT NULL DEFAULT 0
);

CREATE TABLE whereto_action (
	num        bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	identity   bytea NOT NULL UNIQUE,
	person     bigint NOT NULL REFERENCES whereto_person,
	id         text NOT NULL,
	poi        text NOT NULL,
	time_ms    bigint NOT NULL,
	offset_min smallint NOT NULL,
	type       text NOT NULL,
	user_lat   double precision,
	user_lng   double precision
);
CREATE INDEX whereto_action_in_time ON whereto_action (person, time_ms, num);

CREATE TABLE whereto_poi (
	id       text COLLATE "C" PRIMARY KEY,
	name     text NOT NULL,
	category text NOT NULL,
	lat      double precision NOT NULL,
	lng      double precision NOT NULL,
	closed   boolean NOT NULL,
	revision bigint NOT NULL UNIQUE
);
CREATE INDEX whereto_poi_place ON whereto_poi USING gist (point(lng, lat));
CREATE TABLE whereto_poi_revision (last bigint NOT NULL);
INSERT INTO whereto_poi_revision VALUES (0);

CREATE TABLE whereto_api_key (
	id     text COLLATE "C" PRIMARY KEY,
	detail text NOT NULL
);
`}

// migrate brings the tables to this version, all steps or none.
func migrate(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", migrationLock); err != nil {
		return err
	}
	schema := schemaOf(tx.Conn().Config().RuntimeParams["search_path"])
	if schema != "" {
		var exists bool
		if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema).Scan(&exists); err != nil {
			return err
		}
		if !exists { // asking first lets a user without the right to create use what is there
			if _, err := tx.Exec(ctx, "CREATE SCHEMA "+pgx.Identifier{schema}.Sanitize()); err != nil {
				return err
			}
		}
	}
	var known bool
	if err := tx.QueryRow(ctx, `SELECT EXISTS (SELECT FROM pg_tables
		WHERE schemaname = current_schema() AND tablename = 'whereto_version')`).Scan(&known); err != nil {
		return err
	}
	version := 0
	if known {
		if err := tx.QueryRow(ctx, "SELECT version FROM whereto_version").Scan(&version); err != nil {
			return err
		}
	} else if _, err := tx.Exec(ctx, "CREATE TABLE whereto_version (version integer NOT NULL); INSERT INTO whereto_version VALUES (0)"); err != nil {
		return err
	}
	if version > len(migrations) {
		return fmt.Errorf("%w: the tables have version %d, this program knows %d; use the newer whereto that wrote them",
			store.ErrForeign, version, len(migrations))
	}
	for i, step := range migrations[version:] {
		if _, err := tx.Exec(ctx, step); err != nil {
			return fmt.Errorf("step %d of the tables: %w", version+i+1, err)
		}
	}
	if version == len(migrations) {
		return nil
	}
	_, err := tx.Exec(ctx, "UPDATE whereto_version SET version = $1", len(migrations))
	return err
}
