package redis

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/golang/geo/r1"
	"github.com/golang/geo/s1"
	"github.com/golang/geo/s2"
	"github.com/redis/go-redis/v9"

	"github.com/whereto/whereto/store"
)

// putScript takes ID, flag + JSON, and cell of each POI and returns how many changed.
var putScript = redis.NewScript(`
local p, changed = ARGV[1], 0
for i = 2, #ARGV, 3 do
	local id, body = ARGV[i], ARGV[i + 1]
	local old = redis.call('HGET', p .. 'poi', id)
	if not old or string.sub(old, string.find(old, '\n', 1, true) + 1) ~= body then
		local revision = string.format('%.0f', redis.call('INCR', p .. 'revision'))
		redis.call('HSET', p .. 'poi', id, revision .. '\n' .. body)
		redis.call('ZADD', p .. 'poi-ids', 0, id)
		redis.call('ZADD', p .. 'poi-revisions', revision, id)
		redis.call('ZADD', p .. 'poi-cells', ARGV[i + 2], id)
		changed = changed + 1
	end
end
return changed`)

// closeScript returns 0 if there is no such POI.
var closeScript = redis.NewScript(`
local p, id = ARGV[1], ARGV[2]
local old = redis.call('HGET', p .. 'poi', id)
if not old then return 0 end
local flag = string.find(old, '\n', 1, true) + 1
if string.sub(old, flag, flag) == '0' then
	local revision = string.format('%.0f', redis.call('INCR', p .. 'revision'))
	redis.call('HSET', p .. 'poi', id, revision .. '\n1' .. string.sub(old, flag + 1))
	redis.call('ZADD', p .. 'poi-revisions', revision, id)
end
return 1`)

// rangeScript returns, of one moment, ID and value of the POIs of a sorted set from
// ARGV[3] to "+" or "+inf" in the order ARGV[5] names.
var rangeScript = redis.NewScript(`
local p = ARGV[1]
local ids = redis.call('ZRANGE', p .. ARGV[2], ARGV[3], ARGV[4], ARGV[5], 'LIMIT', 0, ARGV[6])
if #ids == 0 then return {} end
return {ids, redis.call('HMGET', p .. 'poi', unpack(ids))}`)

// place is the JSON of a POI; its ID is the field, its revision and whether it is
// closed stand before the JSON.
type place struct {
	Name     string  `json:"n,omitempty"`
	Category string  `json:"c,omitempty"`
	Lat      float64 `json:"y"`
	Lng      float64 `json:"x"`
}

// cellBits are dropped from S2's 64, so that a score, which has 53, holds the rest. What
// remains are cells of less than a metre.
const cellBits = 11

// cellScore places a position on S2's curve.
func cellScore(cell s2.CellID) int64 { return int64(cell >> cellBits) }

func bodyOf(p store.POI) (string, error) {
	body, err := json.Marshal(place{p.Name, p.Category, p.Lat, p.Lng})
	flag := "0"
	if p.Closed {
		flag = "1"
	}
	return flag + string(body), err
}

func decodePOI(id, value string) (store.POI, error) {
	damaged := func(err error) (store.POI, error) {
		return store.POI{}, fmt.Errorf("the POI %q is damaged: %w", id, err)
	}
	head, body, found := strings.Cut(value, "\n")
	if !found || body == "" {
		return damaged(errors.New("it is cut off"))
	}
	revision, err := strconv.ParseInt(head, 10, 64)
	if err != nil {
		return damaged(err)
	}
	var at place
	if err := json.Unmarshal([]byte(body[1:]), &at); err != nil {
		return damaged(err)
	}
	return store.POI{ID: id, Name: at.Name, Category: at.Category, Lat: at.Lat, Lng: at.Lng,
		Closed: body[0] == '1', Revision: revision}, nil
}

// UpsertPOIs stores places; see store.POIs.
func (s *Store) UpsertPOIs(ctx context.Context, pois []store.POI) (int, error) {
	if err := store.CheckPOIs(pois); err != nil || len(pois) == 0 {
		return 0, err
	}
	operation := fmt.Sprintf("store %d POIs", len(pois))
	args := make([]any, 1, 1+3*len(pois))
	args[0] = s.prefix
	for _, p := range store.LastOfEach(pois) {
		body, err := bodyOf(p)
		if err != nil {
			return 0, wrap(ctx, operation, err)
		}
		args = append(args, p.ID, body, cellScore(s2.CellIDFromLatLng(s2.LatLngFromDegrees(p.Lat, p.Lng))))
	}
	changed, err := putScript.Run(ctx, s.db, nil, args...).Int()
	return changed, wrap(ctx, operation, err)
}

// POI returns one place; see store.POIs.
func (s *Store) POI(ctx context.Context, id string) (store.POI, error) {
	if err := store.CheckID(id); err != nil {
		return store.POI{}, err
	}
	value, err := s.db.HGet(ctx, s.key("poi"), id).Result()
	var p store.POI
	if err == nil {
		p, err = decodePOI(id, value)
	}
	return p, wrap(ctx, fmt.Sprintf("read the POI %q", id), err)
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
	var pois []store.POI
	if box == nil {
		pois, err = s.poiRange(ctx, "poi-ids", above(after.Name), "+", "BYLEX", limit+1)
	} else {
		pois, err = s.inBox(ctx, *box, after.Name, limit+1)
	}
	if err != nil {
		return nil, "", wrap(ctx, "list POIs", err)
	}
	pois, next := store.NextPage(pois, limit, store.ListPOIs, filter, func(p store.POI) store.Position {
		return store.Position{Name: p.ID}
	})
	return pois, next, nil
}

func (s *Store) poiRange(ctx context.Context, set, from, to, by string, n int) ([]store.POI, error) {
	found, err := rangeScript.Run(ctx, s.db, nil, s.prefix, set, from, to, by, n).Slice()
	if err != nil || len(found) == 0 {
		return nil, err
	}
	ids, _ := found[0].([]any)
	values, _ := found[1].([]any)
	if len(ids) != len(values) {
		return nil, fmt.Errorf("%d POIs have %d values", len(ids), len(values))
	}
	pois := make([]store.POI, len(ids))
	for i := range ids {
		id, _ := ids[i].(string)
		value, _ := values[i].(string)
		if pois[i], err = decodePOI(id, value); err != nil {
			return nil, err
		}
	}
	return pois, nil
}

// inBox finds the first n places above a name through the cells that cover the box;
// their own positions have the last word.
func (s *Store) inBox(ctx context.Context, box store.Box, after string, n int) ([]store.POI, error) {
	ids, err := s.inCells(ctx, cover(box))
	if err != nil {
		return nil, err
	}
	slices.Sort(ids)
	from, exact := slices.BinarySearch(ids, after)
	if exact {
		from++
	}
	var pois []store.POI
	for chunk := range slices.Chunk(slices.Compact(ids[from:]), n) {
		values, err := s.db.HMGet(ctx, s.key("poi"), chunk...).Result()
		if err != nil {
			return nil, err
		}
		for i, id := range chunk {
			value, _ := values[i].(string)
			p, err := decodePOI(id, value)
			if err != nil {
				return nil, err
			}
			if box.Contains(p.Lat, p.Lng) {
				pois = append(pois, p)
			}
		}
		if len(pois) >= n {
			return pois[:n], nil
		}
	}
	return pois, nil
}

// cover returns cells that contain the box and a little more: a position on the edge
// must not fall between two roundings.
func cover(box store.Box) s2.CellUnion {
	const margin = 1e-9 // degrees
	rect := s2.Rect{
		Lat: r1.Interval{Lo: radians(box.South), Hi: radians(box.North)},
		Lng: s1.IntervalFromEndpoints(radians(box.West), radians(box.East)),
	}
	switch {
	case box.West == -180 && box.East == 180:
		rect.Lng = s1.FullInterval()
	case box.West == 180 && box.East == -180: // S2 would take it for nothing
		rect.Lng = s1.Interval{Lo: math.Pi, Hi: math.Pi}
	}
	rect.Lat = rect.Lat.Expanded(radians(margin)).Intersection(r1.Interval{Lo: -math.Pi / 2, Hi: math.Pi / 2})
	rect.Lng = rect.Lng.Expanded(radians(margin))
	coverer := s2.RegionCoverer{MaxLevel: 20, MaxCells: 16}
	return coverer.Covering(rect)
}

func radians(degrees float64) float64 { return degrees * math.Pi / 180 }

func (s *Store) inCells(ctx context.Context, cells s2.CellUnion) ([]string, error) {
	found, err := s.db.Pipelined(ctx, func(pipe redis.Pipeliner) error {
		for _, cell := range cells {
			pipe.ZRangeArgs(ctx, redis.ZRangeArgs{Key: s.key("poi-cells"), ByScore: true,
				Start: cellScore(cell.RangeMin()), Stop: cellScore(cell.RangeMax())})
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, one := range found {
		ids = append(ids, one.(*redis.StringSliceCmd).Val()...)
	}
	return ids, nil
}

// ClosePOI marks a place as closed; see store.POIs.
func (s *Store) ClosePOI(ctx context.Context, id string) error {
	if err := store.CheckID(id); err != nil {
		return err
	}
	found, err := closeScript.Run(ctx, s.db, nil, s.prefix, id).Bool()
	if err == nil && !found {
		err = store.ErrNotFound
	}
	return wrap(ctx, fmt.Sprintf("close the POI %q", id), err)
}

// POIsSince returns changed places; see store.POIs.
func (s *Store) POIsSince(ctx context.Context, revision int64, limit int) ([]store.POI, int64, error) {
	if err := store.CheckPage("limit", "", limit); err != nil {
		return nil, 0, err
	}
	pois, err := s.poiRange(ctx, "poi-revisions", "("+strconv.FormatInt(revision, 10), "+inf", "BYSCORE", limit)
	if err != nil {
		return nil, 0, wrap(ctx, fmt.Sprintf("list the POIs changed since revision %d", revision), err)
	}
	if len(pois) > 0 {
		revision = pois[len(pois)-1].Revision
	}
	return pois, revision, nil
}
