package poi

import (
	"testing"
	"time"
)

func TestLocalTime(t *testing.T) {
	utc := time.Date(2012, 12, 31, 20, 45, 0, 0, time.UTC).UnixMilli()
	for _, c := range []struct {
		offset int16
		want   string
	}{
		{0, "Mon 2012-12-31 20:45"},
		{330, "Tue 2013-01-01 02:15"}, // half an hour, next day and year
		{-300, "Mon 2012-12-31 15:45"},
	} {
		if got := (Visit{TimeMS: utc, OffsetMin: c.offset}).Local().Format("Mon 2006-01-02 15:04"); got != c.want {
			t.Errorf("offset %d: %s, want %s", c.offset, got, c.want)
		}
	}
}

func TestQueryOfEndsBeforeTheTarget(t *testing.T) {
	visits := []Visit{{POI: 3, TimeMS: 1}, {POI: 1, TimeMS: 2}, {POI: 2, TimeMS: 5, OffsetMin: 60, HasUser: true, UserLat: 40, UserLng: -74}, {POI: 9, TimeMS: 6}}
	d := &Dataset{Users: []User{{}, {Visits: visits}}}
	target := Target{User: 1, Pos: 2}
	q := d.QueryOf(target)
	if q.User != 1 || q.TimeMS != 5 || q.OffsetMin != 60 || !q.HasPos || q.Lat != 40 || q.Lng != -74 {
		t.Errorf("query %+v", q)
	}
	if len(q.History) != 2 || q.History[0].POI != 3 || q.History[1].POI != 1 {
		t.Errorf("history %+v, want the two visits before the target", q.History)
	}
	if got := d.Label(target); got != 2 {
		t.Errorf("label %d, want 2", got)
	}
	// A caller that appends to the history must not overwrite the target.
	if _ = append(q.History, Visit{POI: 77}); visits[2].POI != 2 {
		t.Error("appending to the history changed the data set")
	}
}

func TestTagNames(t *testing.T) {
	if Train.String() != "train" || Validation.String() != "validation" || Test.String() != "test" {
		t.Errorf("%s %s %s", Train, Validation, Test)
	}
}
