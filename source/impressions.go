package source

import (
	"context"
	"fmt"
	"hash/fnv"
	"slices"

	"github.com/whereto/whereto/poi"
)

// MaxShown is the largest number of candidates of one impression.
const MaxShown = 200

// unknown is the Click and Relevance of a log that does not know them.
const unknown = -1

// maxPosition bounds the numbers of a position column.
const maxPosition = 1_000_000

// impressionSchema is one row a shown POI; see poi.Impression.
var impressionSchema = &schema{page: "docs/format/impressions.md",
	fields: []field{fID, fUser, fTimeMS, fTime, fOffset, fUserLat, fUserLng, fPosition, fPOI, fClicked, fClick, fRelevance},
	// time stands second: parquet has time_ms alone.
	required: [][]field{{fID}, {fUser}, {fTimeMS, fTime}, {fPOI}, {fClicked}}}

// formatImpressions is the layout's name in messages; Read does not take it.
const formatImpressions Format = "impressions"

// shownCells is what a row of an impression has beside user, POI, position and time.
type shownCells struct {
	id               string
	position         int64
	hasPosition      bool
	clicked          bool
	click, relevance float32
}

// ReadImpressions reads impressions in the native schema, one row a shown POI,
// the rows of an impression next to each other; the extension of a path tells
// its encoding as for actions. It calls yield with each impression once all its
// good rows are read; the impression is valid until yield returns (its strings
// may be kept). Shown is in the order of the column position, or of the rows if
// there is none. Options.Format is not used.
//
// A bad row is rejected alone, the rest of its impression is kept. Bad is, beside
// what is bad in an action: a POI shown twice, a row past MaxShown, a row that
// differs from its impression's first in user, time or location, and an id that
// comes again after another (seen within about a million impressions).
//
// An error of yield stops the reading and is returned unchanged. The Report
// counts rows; it is filled as far as the reading came, also beside an error.
func ReadImpressions(ctx context.Context, paths []string, opt Options, yield func(*poi.Impression) error) (Report, error) {
	rd := &reader{opt: opt, sink: &gather{yield: yield}}
	err := rd.readFiles(paths, string(formatImpressions), func(path string) error {
		enc, _, err := encodingOf(path)
		if err != nil {
			return err
		}
		switch enc {
		case encParquet:
			return readRows(ctx, rd, path, impressionSchema, parquetAccept(rd, (*parquetShownInput).fill))
		case encJSONL:
			return rd.readLines(ctx, path, newShownJSONParser())
		case encTSV:
			return rd.readLines(ctx, path, newTable(shownLayout('\t')))
		}
		return rd.readLines(ctx, path, newTable(shownLayout(',')))
	})
	return rd.rep, err
}

// gather collects the rows of an impression. Its check is the rule book that
// reading and writing share.
type gather struct {
	yield     func(*poi.Impression) error
	current   poi.Impression // Shown is empty between impressions
	positions []int64        // parallel to current.Shown
	numbered  bool           // the first row has a position
	ids       window         // hashes of the ids begun
}

func (g *gather) check(rd *reader, r *row) *rowError {
	if e := rd.opt.Limits.checkShown(r); e != nil {
		return e
	}
	if !r.hasOffset {
		if rd.zone.loc == nil && !r.HasUser {
			return bad(fOffset, ReasonEmpty, "local time is unknown; give offset_min, a zone, or the user's location")
		}
		r.OffsetMin = rd.zone.offset(r.TimeMS, r.UserLng)
	}
	r.Lat, r.Lng = r.UserLat, r.UserLng // where the guard of time zones looks
	if len(g.current.Shown) == 0 || r.shown.id != g.current.ID {
		if g.ids.has(hashID(r.shown.id)) {
			return bad(fID, ReasonApart, "impression %q has rows further up; sort the file so that its rows are neighbours, or give each impression an id of its own", r.shown.id)
		}
		return nil
	}
	return g.checkNext(r)
}

// checkNext compares a row with those of its impression before it.
func (g *gather) checkNext(r *row) *rowError {
	c := &g.current
	switch {
	case r.User != c.User:
		return bad(fUser, ReasonMixed, "%q; the first row of impression %q has %q", r.User, c.ID, c.User)
	case r.TimeMS != c.TimeMS:
		return bad(fTime, ReasonMixed, "%d ms since 1970; the first row of impression %q has %d", r.TimeMS, c.ID, c.TimeMS)
	case r.OffsetMin != c.OffsetMin:
		return bad(fOffset, ReasonMixed, "%d; the first row of impression %q has %d", r.OffsetMin, c.ID, c.OffsetMin)
	case r.HasUser != c.HasUser || r.UserLat != c.UserLat || r.UserLng != c.UserLng:
		return bad(fUserLat, ReasonMixed, "%s; the first row of impression %q has %s", showUser(r.HasUser, r.UserLat, r.UserLng), c.ID, showUser(c.HasUser, c.UserLat, c.UserLng))
	case r.shown.hasPosition != g.numbered:
		return bad(fPosition, ReasonPosition, "impression %q has positions in some rows only; give all of them or none", c.ID)
	case len(c.Shown) >= MaxShown:
		return bad(fPOI, ReasonMany, "impression %q shows more than %d POIs", c.ID, MaxShown)
	}
	for i := range c.Shown {
		if c.Shown[i].POI == r.POI {
			return bad(fPOI, ReasonRepeated, "impression %q shows %q already; the first row is kept", c.ID, r.POI)
		}
		if g.numbered && g.positions[i] == r.shown.position {
			return bad(fPosition, ReasonPosition, "impression %q has %q at position %d already", c.ID, c.Shown[i].POI, r.shown.position)
		}
	}
	return nil
}

func showUser(has bool, lat, lng float64) string {
	if !has {
		return "no location"
	}
	return fmt.Sprintf("%g, %g", lat, lng)
}

func (g *gather) take(r *row) error {
	s, c := &r.shown, &g.current
	if len(c.Shown) == 0 || s.id != c.ID {
		if err := g.endFile(); err != nil {
			return err
		}
		g.ids.note(hashID(s.id))
		g.numbered, g.positions = s.hasPosition, g.positions[:0]
		*c = poi.Impression{ID: s.id, User: r.User, TimeMS: r.TimeMS, OffsetMin: r.OffsetMin,
			UserLat: r.UserLat, UserLng: r.UserLng, HasUser: r.HasUser, Shown: c.Shown[:0]}
	}
	at := len(c.Shown)
	if g.numbered { // rows may be in any order; from the end, where they mostly belong
		for at > 0 && g.positions[at-1] > s.position {
			at--
		}
	}
	g.positions = slices.Insert(g.positions, at, s.position)
	c.Shown = slices.Insert(c.Shown, at, poi.Shown{POI: r.POI, Clicked: s.clicked, Click: s.click, Relevance: s.relevance})
	return nil
}

// endFile yields the impression at hand, if any.
func (g *gather) endFile() error {
	if len(g.current.Shown) == 0 {
		return nil
	}
	err := g.yield(&g.current)
	g.current.Shown = g.current.Shown[:0]
	return err
}

// hashID does not depend on the process, so that neither do rejects.
func hashID(id string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id)) // never fails (hash.Hash)
	return h.Sum64()
}

// checkShown checks what a row alone can tell.
func (l Limits) checkShown(r *row) *rowError {
	for _, id := range [...]struct {
		text string
		field
	}{{r.shown.id, fID}, {r.User, fUser}, {r.POI, fPOI}} {
		if e := checkID(id.text, id.field); e != nil {
			return e
		}
	}
	if r.HasUser {
		if e := checkPoint(r.UserLat, r.UserLng, fUserLat, fUserLng); e != nil {
			return e
		}
	}
	if e := l.checkTime(r.TimeMS); e != nil {
		return e
	}
	if e := checkOffset(int64(r.OffsetMin)); e != nil {
		return e
	}
	if p := r.shown.position; r.shown.hasPosition && (p < 0 || p > maxPosition) {
		return bad(fPosition, ReasonPosition, "%d is not within 0 to %d", p, maxPosition)
	}
	if e := checkProbability(r.shown.click, fClick); e != nil {
		return e
	}
	return checkProbability(r.shown.relevance, fRelevance)
}

func checkProbability(p float32, f field) *rowError {
	if p != unknown && !(p >= 0 && p <= 1) {
		return bad(f, ReasonProbability, "%g is not within 0 to 1", p)
	}
	return nil
}

// rowOf returns row i of an impression as it is written.
func rowOf(im *poi.Impression, i int) row {
	s := &im.Shown[i]
	return row{hasOffset: true,
		Action: poi.Action{User: im.User, POI: s.POI, TimeMS: im.TimeMS, OffsetMin: im.OffsetMin,
			UserLat: im.UserLat, UserLng: im.UserLng, HasUser: im.HasUser},
		shown: shownCells{id: im.ID, position: int64(i) + 1, hasPosition: true, clicked: s.Clicked, click: s.Click, relevance: s.Relevance}}
}

// checkImpression passes an impression through the rules, in the order of a file.
func (g *gather) checkImpression(rd *reader, im *poi.Impression) error {
	if len(im.Shown) == 0 {
		return fmt.Errorf("source: impression %q shows no POI: %w", im.ID, poi.ErrBadInput)
	}
	for i := range im.Shown {
		r := rowOf(im, i)
		if e := g.check(rd, &r); e != nil {
			return fmt.Errorf("source: impression %q, POI %q: %s: %s: %s: %w", im.ID, im.Shown[i].POI, fieldNames[e.field], e.reason, e.detail, poi.ErrBadInput)
		}
		if err := g.take(&r); err != nil {
			return err
		}
	}
	return nil
}
