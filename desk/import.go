package desk

import (
	"context"
	"fmt"
	"strconv"

	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/store"
)

// importBatch is the number of rows that Import stores at once.
const importBatch = 5000

// Import stores the people's visits and the places of a data set, so that a service
// knows of them what the model was trained and evaluated on. Doing it again changes
// nothing: an action is stored once. say is told how many visits are stored so far.
func Import(ctx context.Context, s store.Store, d *poi.Dataset, say func(stored, of int)) error {
	for from := 0; from < len(d.Places); from += importBatch {
		var batch []store.POI
		for _, p := range d.Places[from:min(from+importBatch, len(d.Places))] {
			batch = append(batch, store.POI{ID: p.ID, Name: p.Name, Category: p.Category, Lat: plain(p.Lat), Lng: plain(p.Lng), Closed: p.Closed})
		}
		if _, err := s.UpsertPOIs(ctx, batch); err != nil {
			return fmt.Errorf("import places %d to %d of %d: %w", from, from+len(batch), len(d.Places), err)
		}
	}
	total, stored := 0, 0
	for u := range d.Users {
		total += len(d.Users[u].Visits)
	}
	var batch []store.Action
	flush := func() error {
		if _, err := s.Append(ctx, batch); err != nil {
			return fmt.Errorf("import visits %d to %d of %d: %w", stored, stored+len(batch), total, err)
		}
		stored += len(batch)
		batch = batch[:0]
		say(stored, total)
		return nil
	}
	for u := range d.Users {
		for i, v := range d.Users[u].Visits {
			// A log may tell the same visit twice in one second; the model saw both.
			batch = append(batch, store.Action{User: d.Users[u].ID, ID: "import-" + strconv.Itoa(i), POI: d.Places[v.POI].ID, TimeMS: v.TimeMS, OffsetMin: v.OffsetMin,
				Type: d.Types[v.Type], HasUser: v.HasUser, UserLat: plain(float64(v.UserLat)), UserLng: plain(float64(v.UserLng))})
			if len(batch) == importBatch {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	if len(batch) > 0 {
		return flush()
	}
	return nil
}
