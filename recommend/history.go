package recommend

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/whereto/whereto/poi"
)

// trajectoryGap ends a trajectory (docs/protocols.md, step 3).
const trajectoryGap = 24 * time.Hour

// Visit translates an action of a log into the run's numbers. Position and type of the
// place are the run's own: what the action says of them is not read.
func (r *Predictor) Visit(a *poi.Action) (poi.Visit, error) {
	p, ok := r.p.Index.Lookup(a.POI)
	if !ok {
		return poi.Visit{}, fmt.Errorf("POI %q: %w among the %d of the run", a.POI, poi.ErrUnknownPOI, len(r.p.Dataset.Places))
	}
	kind := slices.Index(r.p.Dataset.Types, a.Type)
	if kind < 0 {
		return poi.Visit{}, fmt.Errorf("action type %q: %w: the run knows %s", a.Type, poi.ErrBadInput, strings.Join(r.p.Dataset.Types, ", "))
	}
	return poi.Visit{POI: p, TimeMS: a.TimeMS, OffsetMin: a.OffsetMin, Type: uint8(kind), Intent: true,
		HasUser: a.HasUser, UserLat: float32(a.UserLat), UserLng: float32(a.UserLng)}, nil
}

// Order sorts visits by local time, those of one moment as they came, and numbers
// their trajectories as the split does.
func Order(visits []poi.Visit) {
	local := func(v *poi.Visit) int64 { return v.TimeMS + 60_000*int64(v.OffsetMin) }
	slices.SortStableFunc(visits, func(a, b poi.Visit) int { return cmp.Compare(local(&a), local(&b)) })
	for i := 1; i < len(visits); i++ {
		visits[i].Traj = visits[i-1].Traj
		if local(&visits[i])-local(&visits[i-1]) > trajectoryGap.Milliseconds() {
			visits[i].Traj++
		}
	}
}
