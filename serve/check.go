package serve

import (
	"fmt"
	"time"

	"github.com/whereto/whereto/api"
)

// Moments that requests may name.
var (
	earliest = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC)
	latest   = time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC)
)

// ahead is how far the clock of a sender of actions may be before ours.
const ahead = 24 * time.Hour

// faults gathers what is wrong with a request, beyond what its schema says.
type faults struct {
	prefix string // of every location, such as "body."
	list   []Fault
}

func (f *faults) add(field string, value any, reason string, args ...any) {
	f.list = append(f.list, Fault{Location: f.prefix + field, Message: fmt.Sprintf(reason, args...), Value: shortened(value)})
}

// err is nil if nothing is wrong.
func (f *faults) err() error {
	const most = 20
	switch n := len(f.list); {
	case n == 0:
		return nil
	case n > most:
		p := refuse(invalid, "%d faults; the first %d follow", n, most)
		p.Errors = f.list[:most]
		return p
	}
	p := refuse(invalid, "")
	p.Errors = f.list
	return p
}

// pair checks that a position has both of its halves.
func (f *faults) pair(before string, lat, lng *float64) {
	switch {
	case (lat == nil) == (lng == nil):
	case lat == nil:
		f.add(before+"lat", nil, "is missing beside %slng", before)
	default:
		f.add(before+"lng", nil, "is missing beside %slat", before)
	}
}

// moment checks a time; the zero time is one that was not given.
func (f *faults) moment(field string, t time.Time) {
	if !t.IsZero() && (t.Before(earliest) || !t.Before(latest)) {
		f.add(field, t.Format(time.RFC3339), "is outside of 1970 to 2099")
	}
}

// required checks a time that must be given. Year 1 is how a time that was not given
// reads, and no time of an action.
func (f *faults) required(field string, t time.Time) {
	if t.IsZero() {
		f.add(field, nil, "is outside of 1970 to 2099")
	}
	f.moment(field, t)
}

// who checks what all questions have in common.
func (f *faults) who(w *api.Who) {
	f.pair("", w.Lat, w.Lng)
	f.moment("time", w.Time)
	for i := range w.History {
		at := fmt.Sprintf("history[%d].", i)
		f.pair(at, w.History[i].Lat, w.History[i].Lng)
		f.required(at+"time", w.History[i].Time)
	}
}

// once checks that a list names nothing twice.
func (f *faults) once(field string, list []string) {
	seen := make(map[string]int, len(list))
	for i, x := range list {
		if first, twice := seen[x]; twice {
			f.add(fmt.Sprintf("%s[%d]", field, i), x, "stands at [%d] already", first)
			continue
		}
		seen[x] = i
	}
}

// action checks an action that is to be stored.
func (f *faults) action(a *api.Action, now time.Time) {
	if a.User == "" {
		f.add("user", nil, "is missing: whose action is it?")
	}
	f.pair("", a.Lat, a.Lng)
	f.required("time", a.Time)
	if a.Time.After(now.Add(ahead)) && a.Time.Before(latest) {
		f.add("time", a.Time.Format(time.RFC3339), "is more than a day ahead of the service's clock, %s", now.UTC().Format(time.RFC3339))
	}
}
