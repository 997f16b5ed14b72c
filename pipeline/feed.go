package pipeline

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"slices"

	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/source"
)

// minOptions is the fewest candidates of a request: one alone is not ranked.
const minOptions = 2

// HasFeed reports whether cfg has impressions to load.
func HasFeed(cfg Config) bool {
	return len(impressionPaths(cfg)) > 0 || len(cfg.Paths) == 0 && cfg.City.Impressions > 0
}

// impressionPaths returns the files of impressions; none for a simulated city.
func impressionPaths(cfg Config) []string {
	if len(cfg.Impressions) == 0 {
		return inFolders(cfg.Paths, ImpressionsFile)
	}
	out := slices.Clone(cfg.Impressions)
	for i, p := range out {
		if in := inFolders([]string{p}, ImpressionsFile); len(in) > 0 {
			out[i] = in[0]
		}
	}
	return out
}

// LoadFeed is ReadFeed without keeping the bad rows.
func LoadFeed(ctx context.Context, cfg Config, d *poi.Dataset, progress Progress) (*poi.Feed, *FeedReport, error) {
	return ReadFeed(ctx, cfg, d, io.Discard, progress)
}

// ReadFeed reads the impressions of cfg in terms of the data set d, which Load
// made of the same cfg. Bad rows go to rejects, one JSON object a line.
//
// A candidate that d does not have is dropped from its impression, an impression
// is dropped if d does not have its user or fewer than two candidates are left. A
// request is validation if its local time is not before the first validation
// visit of d, and test likewise, so that the cut of the check-ins holds for
// impressions. Pos counts the visits before the request's instant; should a
// change of the clocks have mixed their order, those before the first that is
// not.
//
// The error wraps poi.ErrEmpty if nothing is left, and poi.ErrBadInput if no
// candidate is clicked or all are: such a log has nothing to rank.
func ReadFeed(ctx context.Context, cfg Config, d *poi.Dataset, rejects io.Writer, progress Progress) (*poi.Feed, *FeedReport, error) {
	if err := cfg.Validate(); err != nil {
		return nil, nil, err
	}
	paths := impressionPaths(cfg)
	b := newFeedBuilder(d)
	switch {
	case len(paths) > 0:
		b.report.Name = name(cfg.Impressions)
		if len(cfg.Impressions) == 0 {
			b.report.Name = name(cfg.Paths)
		}
		progress.say("reading impressions of %s", b.report.Name)
		rep, err := source.ReadImpressions(ctx, paths, source.Options{Zone: cfg.Zone, MaxBadRows: cfg.MaxBadRows, Reject: rejects}, b.add)
		if err != nil {
			return nil, nil, err
		}
		b.report.setSource(&rep)
	case len(cfg.Paths) == 0 && cfg.City.Impressions > 0:
		b.report.Name = cityName(cfg.City)
		progress.say("simulating impressions of %d people", cfg.City.Users)
		if err := b.addCity(ctx, cfg.City); err != nil {
			return nil, nil, err
		}
	case len(cfg.Paths) == 0:
		return nil, nil, fmt.Errorf("pipeline: the simulated city makes no impressions; set data.city.impressions to how many a person, for example 4: %w", poi.ErrBadInput)
	default:
		return nil, nil, fmt.Errorf("pipeline: no folder among %s has a %s; name logs of impressions under data.impressions: %w",
			name(cfg.Paths), ImpressionsFile, poi.ErrBadInput)
	}
	feed, err := b.feed()
	return feed, b.report, err
}

// feedBuilder turns impressions into requests.
type feedBuilder struct {
	d             *poi.Dataset
	users, places map[string]int32
	// validation and test are the first local milliseconds of their parts.
	validation, test int64
	requests         []poi.Request
	shown, clicked   int // candidates read, and those clicked
	report           *FeedReport
}

func newFeedBuilder(d *poi.Dataset) *feedBuilder {
	b := &feedBuilder{d: d, users: make(map[string]int32, len(d.Users)), places: placeIDs(d),
		validation: math.MaxInt64, test: math.MaxInt64, report: new(FeedReport)}
	for u := range d.Users {
		b.users[d.Users[u].ID] = int32(u)
		for _, v := range d.Users[u].Visits {
			switch local := localMS(v.TimeMS, v.OffsetMin); v.Tag {
			case poi.Validation:
				b.validation = min(b.validation, local)
			case poi.Test:
				b.test = min(b.test, local)
			}
		}
	}
	return b
}

func localMS(ms int64, offsetMin int16) int64 { return ms + int64(offsetMin)*60_000 }

// addCity adds the impressions of a simulated city.
func (b *feedBuilder) addCity(ctx context.Context, cfg city.Config) error {
	c, err := city.New(cfg)
	if err != nil {
		return err
	}
	for u := range c.Users() {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("pipeline: stopped before the impressions of user %d of %d: %w", u, c.Users(), err)
		}
		list := c.Impressions(u)
		for i := range list {
			if err := b.add(&list[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// add takes one impression of the log.
func (b *feedBuilder) add(im *poi.Impression) error {
	r := b.report
	r.Read++
	b.shown += len(im.Shown)
	for i := range im.Shown {
		if im.Shown[i].Clicked {
			b.clicked++
		}
	}
	user, known := b.users[im.User]
	if !known {
		r.Dropped.UnknownUser++
		return nil
	}
	options := make([]poi.Option, 0, len(im.Shown))
	for _, s := range im.Shown {
		p, known := b.places[s.POI]
		if !known {
			r.Dropped.UnknownPOI++
			continue
		}
		options = append(options, poi.Option{POI: p, Clicked: s.Clicked, Click: s.Click, Relevance: s.Relevance})
	}
	if len(options) < minOptions {
		r.Dropped.TooFew++
		return nil
	}
	if len(b.requests) == math.MaxInt32 {
		return fmt.Errorf("pipeline: more than %d impressions; split the log by region: %w", math.MaxInt32, poi.ErrBadInput)
	}
	b.requests = append(b.requests, poi.Request{ID: im.ID, User: user, TimeMS: im.TimeMS, OffsetMin: im.OffsetMin, Tag: b.tag(im),
		HasUser: im.HasUser, UserLat: float32(im.UserLat), UserLng: float32(im.UserLng), Options: options})
	return nil
}

// tag is the part that check-ins of the impression's local time lie in.
func (b *feedBuilder) tag(im *poi.Impression) poi.Tag {
	switch local := localMS(im.TimeMS, im.OffsetMin); {
	case local >= b.test:
		return poi.Test
	case local >= b.validation:
		return poi.Validation
	}
	return poi.Train
}

// feed checks and orders what add took.
func (b *feedBuilder) feed() (*poi.Feed, error) {
	if err := clicksTell("of the log", b.shown, b.clicked); err != nil {
		return nil, err
	}
	drop := b.report.Dropped
	if len(b.requests) == 0 {
		return nil, fmt.Errorf("pipeline: nothing is left of %d impressions of %s: %d have a user, %d fewer than %d candidates that the data set knows; are the ids those of the actions, and did the filters leave enough? %w",
			b.report.Read, b.report.Name, drop.UnknownUser, drop.TooFew, minOptions, poi.ErrEmpty)
	}
	slices.SortStableFunc(b.requests, func(x, y poi.Request) int {
		return cmp.Or(cmp.Compare(x.User, y.User), cmp.Compare(x.TimeMS, y.TimeMS))
	})
	f := &poi.Feed{Requests: b.requests}
	var user, pos int32 = -1, 0
	for i := range f.Requests {
		r := &f.Requests[i]
		if r.User != user {
			user, pos = r.User, 0
		}
		// The requests of a user come in order of time, so pos only grows.
		for v := b.d.Users[user].Visits; int(pos) < len(v) && v[pos].TimeMS < r.TimeMS; {
			pos++
		}
		r.Pos = pos
		f.ByTag[r.Tag] = append(f.ByTag[r.Tag], int32(i))
	}
	f.Fingerprint = feedFingerprint(b.d, f)
	b.report.describe(f)
	return f, clicksTell("left after dropping", b.report.Shown.sum(), b.report.Clicks.sum())
}

// clicksTell fails where clicks separate nothing.
func clicksTell(which string, shown, clicked int) error {
	switch {
	case shown == 0: // nothing was read or left, which has its own message
		return nil
	case clicked == 0:
		return fmt.Errorf("pipeline: none of the %d candidates %s is clicked; is the column clicked filled? %w", shown, which, poi.ErrBadInput)
	case clicked == shown:
		return fmt.Errorf("pipeline: all %d candidates %s are clicked; a log of impressions must hold what was shown and passed over, too: %w", shown, which, poi.ErrBadInput)
	}
	return nil
}

// feedFingerprint is the hex SHA-256 of canonical bytes: a version line, the data
// set's fingerprint, then each request with its options, numbers little-endian,
// the id after its length.
func feedFingerprint(d *poi.Dataset, f *poi.Feed) string {
	h := sha256.New() // its Write never fails (hash.Hash)
	buf := []byte("whereto feed 1\n" + d.Fingerprint + "\n")
	u32, u64 := binary.LittleEndian.AppendUint32, binary.LittleEndian.AppendUint64
	for i := range f.Requests {
		r := &f.Requests[i]
		buf = u64(buf, uint64(len(r.ID)))
		buf = append(buf, r.ID...)
		buf = u32(u32(buf, uint32(r.User)), uint32(r.Pos))
		buf = u64(buf, uint64(r.TimeMS))
		buf = append(binary.LittleEndian.AppendUint16(buf, uint16(r.OffsetMin)), byte(r.Tag), bit(r.HasUser))
		buf = u32(u32(buf, math.Float32bits(r.UserLat)), math.Float32bits(r.UserLng))
		buf = u64(buf, uint64(len(r.Options)))
		for _, o := range r.Options {
			buf = append(u32(buf, uint32(o.POI)), bit(o.Clicked))
			buf = u32(u32(buf, math.Float32bits(o.Click)), math.Float32bits(o.Relevance))
		}
		h.Write(buf)
		buf = buf[:0]
	}
	return hex.EncodeToString(h.Sum(nil))
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}
