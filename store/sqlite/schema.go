package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/whereto/whereto/store"
)

// applicationID marks a file as a store of whereto: the letters WHTO.
const applicationID = 0x5748544f

// migrations lead from an empty file to this version's tables. Steps are only ever
// added: a file says in user_version how many it has seen.
var migrations = []string{`
CREATE TABLE person (
	num     INTEGER PRIMARY KEY,
	name    TEXT NOT NULL UNIQUE,
	actions INTEGER NOT NULL DEFAULT 0
) STRICT;

-- num is the order of arrival; AUTOINCREMENT never gives one out twice.
CREATE TABLE action (
	num        INTEGER PRIMARY KEY AUTOINCREMENT,
	identity   BLOB NOT NULL UNIQUE,
	person     INTEGER NOT NULL REFERENCES person,
	id         TEXT NOT NULL,
	poi        TEXT NOT NULL,
	time_ms    INTEGER NOT NULL,
	offset_min INTEGER NOT NULL,
	type       TEXT NOT NULL,
	user_lat   REAL,
	user_lng   REAL
) STRICT;
CREATE INDEX action_in_time ON action (person, time_ms, num);

CREATE TABLE poi (
	num      INTEGER PRIMARY KEY,
	id       TEXT NOT NULL UNIQUE,
	name     TEXT NOT NULL,
	category TEXT NOT NULL,
	lat      REAL NOT NULL,
	lng      REAL NOT NULL,
	closed   INTEGER NOT NULL,
	revision INTEGER NOT NULL UNIQUE
) STRICT;
CREATE VIRTUAL TABLE poi_place USING rtree (num, south, north, west, east);
CREATE TABLE poi_revision (last INTEGER NOT NULL) STRICT;
INSERT INTO poi_revision VALUES (0);

CREATE TABLE api_key (
	id     TEXT PRIMARY KEY,
	detail TEXT NOT NULL
) STRICT, WITHOUT ROWID;
`, `
-- With all columns, a person's actions are read in one walk and not looked up one by one.
DROP INDEX action_in_time;
CREATE INDEX action_in_time ON action (person, time_ms, num, id, poi, offset_min, type, user_lat, user_lng);
`}

// migrate brings the tables to this version, all steps or none.
func migrate(ctx context.Context, db *sql.DB) error {
	return inTx(ctx, db, func(tx *sql.Tx) error {
		var app, version, tables int
		err := tx.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id),
			(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)`).Scan(&app, &version, &tables)
		switch {
		case err != nil:
			return err
		case app != applicationID && (app != 0 || tables > 0):
			return fmt.Errorf("%w: the file is a database of another program; choose another file", store.ErrForeign)
		case version > len(migrations):
			return fmt.Errorf("%w: the file has version %d, this program knows %d; use the newer whereto that wrote it",
				store.ErrForeign, version, len(migrations))
		}
		if version == len(migrations) {
			return nil
		}
		for i, step := range migrations[version:] {
			if _, err := tx.ExecContext(ctx, step); err != nil {
				return fmt.Errorf("step %d of the tables: %w", version+i+1, err)
			}
		}
		_, err = tx.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, len(migrations)))
		return err
	})
}
