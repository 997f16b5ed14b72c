package split

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/whereto/whereto/clean"
	"github.com/whereto/whereto/poi"
)

// trajectories cuts each user's rows after gaps of local time, drops the short
// ones and leaves the rest in b.visits. A dropped check-in leaves the data set:
// it is neither target nor history.
func (b *builder) trajectories() error {
	byUser := make([][]row, len(b.userIDs))
	for _, r := range b.rows {
		byUser[r.user] = append(byUser[r.user], r)
	}
	gap := int64(b.cfg.GapHours) * 3_600_000
	in := make([]bool, len(b.actions))
	b.visits = make([][]poi.Visit, len(b.userIDs))
	for u, rows := range byUser {
		var traj int32
		for from := 0; from < len(rows); {
			to := from + 1
			for to < len(rows) && rows[to].local-rows[to-1].local <= gap {
				to++
			}
			if to-from >= b.cfg.MinTrajectory {
				for _, r := range rows[from:to] {
					in[r.at] = true
					b.visits[u] = append(b.visits[u], b.visit(r, traj))
				}
				traj++
			}
			from = to
		}
	}
	return b.keep(fmt.Sprintf("trajectories with >= %d check-ins, no gap over %d h", b.cfg.MinTrajectory, b.cfg.GapHours),
		"min_trajectory", func(r *row) bool { return in[r.at] })
}

func (b *builder) visit(r row, traj int32) poi.Visit {
	a := &b.actions[r.at]
	return poi.Visit{POI: r.poi, Traj: traj, TimeMS: a.TimeMS, OffsetMin: a.OffsetMin, Type: r.typ, Intent: true,
		Tag: r.tag, HasUser: a.HasUser, UserLat: float32(a.UserLat), UserLng: float32(a.UserLng)}
}

// dataset cleans the sequences and gives users and POIs their dense ids: users
// by id, POIs by training visits, most first, then by id.
func (b *builder) dataset() (*poi.Dataset, error) {
	if len(b.types) > 255 {
		return nil, fmt.Errorf("split: %d action types are more than the limit of 255; map them to fewer: %w", len(b.types), poi.ErrBadInput)
	}
	var users []poi.User
	for u, v := range b.visits {
		if len(v) > 0 {
			users = append(users, poi.User{ID: b.userIDs[u], Visits: v})
		}
	}
	slices.SortFunc(users, func(x, y poi.User) int { return cmp.Compare(x.ID, y.ID) })
	kept, report := clean.Sequences(b.cfg.Clean, users, b.pois, b.types)
	b.card.Clean = report
	if dropped := len(users) - len(kept); dropped > 0 {
		b.step(fmt.Sprintf("users with richness >= %g", b.cfg.Clean.MinRichness), b.rowsOf(kept))
	}
	if len(kept) == 0 {
		return nil, fmt.Errorf("split: the richness filter dropped all %d users; lower min_richness %g: %w", len(users), b.cfg.Clean.MinRichness, poi.ErrEmpty)
	}
	d := &poi.Dataset{Protocol: b.cfg.Protocol, Users: kept}
	b.densePlaces(d)
	b.denseTypes(d)
	return d, nil
}

// rowsOf returns the rows of the given users.
func (b *builder) rowsOf(users []poi.User) []row {
	in := make(map[string]bool, len(users))
	for _, u := range users {
		in[u.ID] = true
	}
	var out []row
	for _, r := range b.rows {
		if in[b.userIDs[r.user]] {
			out = append(out, r)
		}
	}
	return out
}

func (b *builder) densePlaces(d *poi.Dataset) {
	seen, train := make([]bool, len(b.pois)), make([]int, len(b.pois))
	for _, u := range d.Users {
		for _, v := range u.Visits {
			seen[v.POI] = true
			if v.Tag == poi.Train {
				train[v.POI]++
			}
		}
	}
	var order []int32
	for p := range b.pois {
		if seen[p] {
			order = append(order, int32(p))
		}
	}
	slices.SortFunc(order, func(x, y int32) int {
		return cmp.Or(cmp.Compare(train[y], train[x]), cmp.Compare(b.pois[x].ID, b.pois[y].ID))
	})
	dense := make([]int32, len(b.pois))
	d.Places = make([]poi.Place, len(order))
	for i, p := range order {
		dense[p] = int32(i)
		d.Places[i] = b.pois[p]
	}
	for _, u := range d.Users {
		for i := range u.Visits {
			u.Visits[i].POI = dense[u.Visits[i].POI]
		}
	}
}

// denseTypes keeps the types that occur, in alphabetical order, so that a
// dropped row cannot change the numbering.
func (b *builder) denseTypes(d *poi.Dataset) {
	seen := make([]bool, len(b.types))
	for _, u := range d.Users {
		for _, v := range u.Visits {
			seen[v.Type] = true
		}
	}
	for t, name := range b.types {
		if seen[t] {
			d.Types = append(d.Types, name)
		}
	}
	slices.Sort(d.Types)
	dense := make([]uint8, len(b.types))
	for t, name := range b.types {
		if at, ok := slices.BinarySearch(d.Types, name); ok {
			dense[t] = uint8(at)
		}
	}
	for _, u := range d.Users {
		for i := range u.Visits {
			u.Visits[i].Type = dense[u.Visits[i].Type]
		}
	}
}

// targets names the check-ins to predict, in order of user and position.
//
// Train targets are the same in every protocol: every interest-based train
// visit but the first of its trajectory.
func targets(d *poi.Dataset, protocol string) [3][]poi.Target {
	var out [3][]poi.Target
	users, pois := make([]bool, len(d.Users)), make([]bool, len(d.Places))
	for u := range d.Users {
		v := d.Users[u].Visits
		for i := range v {
			if v[i].Tag == poi.Train && v[i].Intent && i > 0 && v[i-1].Traj == v[i].Traj {
				out[poi.Train] = append(out[poi.Train], poi.Target{User: int32(u), Pos: int32(i)})
				users[u], pois[v[i].POI] = true, true
			}
		}
	}
	for u := range d.Users {
		if !users[u] {
			continue
		}
		v := d.Users[u].Visits
		for i := range v {
			if v[i].Tag != poi.Train && v[i].Intent && pois[v[i].POI] && chosen(v, i, protocol) {
				out[v[i].Tag] = append(out[v[i].Tag], poi.Target{User: int32(u), Pos: int32(i)})
			}
		}
	}
	return out
}

// chosen says whether the protocol scores visit i, which is not a train visit.
func chosen(v []poi.Visit, i int, protocol string) bool {
	last := i == len(v)-1
	switch protocol {
	case LastOfTrajectory:
		return last || v[i+1].Traj != v[i].Traj
	case EveryCheckin:
		return i > 0 && v[i-1].Traj == v[i].Traj
	default: // LastOfUser
		return last || v[i+1].Tag != v[i].Tag
	}
}
