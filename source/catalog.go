package source

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/whereto/whereto/poi"
)

// Entry is one row of a catalog: a place and what is told of it.
type Entry struct {
	poi.Place
	poi.Details
}

// UserProfile is one row of a file of profiles.
type UserProfile struct {
	User string
	poi.Profile
}

// Limits of a catalog's values.
const (
	maxTextBytes  = 64 << 10 // of an address, a tag, a review
	maxListLength = 1000     // tags or reviews of a place, tags of a person
	maxImageBytes = 1 << 20
)

// placeSchema and profileSchema are Parquet only: lists and images do not fit
// the cells of a text table. Few places are decoded at a time, for their images.
var (
	placeSchema = &schema{page: "docs/format/places.md", batch: 32,
		fields:   []field{fPOI, fName, fCategory, fLat, fLng, fClosed, fAddress, fTags, fReviews, fImage},
		required: [][]field{{fPOI}, {fLat}, {fLng}}}
	profileSchema = &schema{page: "docs/format/places.md",
		fields:   []field{fUser, fGender, fAgeBand, fOccupation, fTags},
		required: [][]field{{fUser}}}
)

// ReadPlaces reads catalogs (docs/format/places.md) and calls yield with each
// good row, which may be kept. Of the options, MaxBadRows and Reject count. It
// does not look for a POI that comes twice. Errors and Report are as in Read.
func ReadPlaces(ctx context.Context, paths []string, opt Options, yield func(*Entry) error) (Report, error) {
	return readCatalog(ctx, paths, opt, "places", placeSchema, (*parquetPlaceInput).entry, checkEntry, yield)
}

// ReadProfiles is ReadPlaces for profiles of users.
func ReadProfiles(ctx context.Context, paths []string, opt Options, yield func(*UserProfile) error) (Report, error) {
	return readCatalog(ctx, paths, opt, "profiles", profileSchema, (*parquetProfileInput).profile, checkProfile, yield)
}

func readCatalog[In, Out any](ctx context.Context, paths []string, opt Options, what string, s *schema,
	decode func(*In) (*Out, *rowError), check func(*Out) *rowError, yield func(*Out) error) (Report, error) {
	rd := &reader{opt: opt}
	err := rd.readFiles(paths, what, func(path string) error {
		return readRows(ctx, rd, path, s, func(fs *fileStats, line int, in *In) error {
			out, e := decode(in)
			if e == nil {
				e = check(out)
			}
			if e != nil {
				return rd.reject(Reject{File: path, Line: line, Field: fieldNames[e.field], Reason: e.reason, Detail: e.detail})
			}
			fs.rows++
			rd.rep.Rows++
			rd.rep.Good++
			return yield(out)
		})
	})
	return rd.rep, err
}

// WritePlaces writes a catalog as Parquet and returns how many places. The file
// appears whole or not at all; a row that ReadPlaces would reject, an error from
// the iterator and no row at all (poi.ErrEmpty) leave nothing behind. Rows are
// written on the way: one group of at most about 64 MiB is held.
func WritePlaces(path string, places iter.Seq2[*Entry, error]) (int, error) {
	return writeCatalog(path, "places", places, checkEntry, parquetPlaceOf)
}

// WriteProfiles is WritePlaces for profiles of users.
func WriteProfiles(path string, profiles iter.Seq2[*UserProfile, error]) (int, error) {
	return writeCatalog(path, "profiles", profiles, checkProfile, parquetProfileOf)
}

func writeCatalog[Out, In any](path, what string, rows iter.Seq2[*Out, error], check func(*Out) *rowError,
	encode func(*Out) (In, int)) (int, error) {
	if enc, _, err := encodingOf(path); err != nil || enc != encParquet {
		return 0, fmt.Errorf("source: write %s: %s are written as .parquet only: %w", path, what, poi.ErrBadInput)
	}
	return writeWhole(path, what, func(w io.Writer) (int, error) {
		return buffered(w, false, func(out io.Writer) (n int, err error) {
			pw := newParquetRows[In](out)
			for row, err := range rows {
				if err != nil {
					return n, err
				}
				if e := check(row); e != nil {
					return n, fmt.Errorf("%s: %s: %s: %w", fieldNames[e.field], e.reason, e.detail, poi.ErrBadInput)
				}
				if err := pw.write(encode(row)); err != nil {
					return n, err
				}
				n++
			}
			return n, pw.close()
		})
	})
}

// checkEntry is the rule book of a place; reading and writing share it.
func checkEntry(p *Entry) *rowError {
	if e := checkID(p.ID, fPOI); e != nil {
		return e
	}
	if e := checkPoint(p.Lat, p.Lng, fLat, fLng); e != nil {
		return e
	}
	for _, t := range [...]struct {
		text string
		field
	}{{p.Name, fName}, {p.Category, fCategory}, {p.Address, fAddress}} {
		if e := checkLongText(t.text, t.field); e != nil {
			return e
		}
	}
	if e := checkList(p.Tags, fTags); e != nil {
		return e
	}
	if e := checkList(p.Reviews, fReviews); e != nil {
		return e
	}
	return checkImage(p.Image)
}

func checkProfile(p *UserProfile) *rowError {
	if e := checkID(p.User, fUser); e != nil {
		return e
	}
	for _, t := range [...]struct {
		text string
		field
	}{{p.Gender, fGender}, {p.AgeBand, fAgeBand}, {p.Occupation, fOccupation}} {
		if e := checkLongText(t.text, t.field); e != nil {
			return e
		}
	}
	return checkList(p.Tags, fTags)
}

func checkLongText(s string, f field) *rowError {
	if len(s) > maxTextBytes {
		return bad(f, ReasonLimit, "a text of %d bytes; the limit is %d", len(s), maxTextBytes)
	}
	return checkText(s, f)
}

func checkList(list []string, f field) *rowError {
	if len(list) > maxListLength {
		return bad(f, ReasonLimit, "%d texts; the limit is %d", len(list), maxListLength)
	}
	for _, s := range list {
		if e := checkLongText(s, f); e != nil {
			return e
		}
	}
	return nil
}

// checkImage looks at the first bytes only; whoever decodes an image finds out
// whether the rest is whole.
func checkImage(image []byte) *rowError {
	switch {
	case len(image) == 0:
		return nil
	case len(image) > maxImageBytes:
		return bad(fImage, ReasonLimit, "an image of %d bytes; the limit is %d", len(image), maxImageBytes)
	case !bytes.HasPrefix(image, []byte("\x89PNG\r\n\x1a\n")) && !bytes.HasPrefix(image, []byte("\xff\xd8\xff")):
		return bad(fImage, ReasonImage, "it starts with %q", image[:min(len(image), 8)])
	}
	return nil
}

// parquetPlace is a place as it is written.
type parquetPlace struct {
	POI      string   `parquet:"poi"`
	Name     string   `parquet:"name"`
	Category string   `parquet:"category,dict"`
	Lat      float64  `parquet:"lat"`
	Lng      float64  `parquet:"lng"`
	Closed   bool     `parquet:"closed"`
	Address  string   `parquet:"address"`
	Tags     []string `parquet:"tags,list"`
	Reviews  []string `parquet:"reviews,list"`
	Image    *[]byte  `parquet:"image,optional"`
}

// parquetPlaceOf also returns about how many bytes the row holds.
func parquetPlaceOf(p *Entry) (parquetPlace, int) {
	row := parquetPlace{POI: p.ID, Name: p.Name, Category: p.Category, Lat: p.Lat, Lng: p.Lng, Closed: p.Closed,
		Address: p.Address, Tags: p.Tags, Reviews: p.Reviews}
	if len(p.Image) > 0 {
		row.Image = &p.Image
	}
	size := len(p.Name) + len(p.Address) + len(p.Image)
	for _, s := range p.Reviews {
		size += len(s)
	}
	return row, size
}

// parquetPlaceInput is a place as it is read; see parquetInput.
type parquetPlaceInput struct {
	POI      *string  `parquet:"poi,optional"`
	Name     *string  `parquet:"name,optional"`
	Category *string  `parquet:"category,optional"`
	Lat      *float64 `parquet:"lat,optional"`
	Lng      *float64 `parquet:"lng,optional"`
	Closed   *bool    `parquet:"closed,optional"`
	Address  *string  `parquet:"address,optional"`
	Tags     []string `parquet:"tags,optional,list"`
	Reviews  []string `parquet:"reviews,optional,list"`
	Image    *[]byte  `parquet:"image,optional"`
}

func (p *parquetPlaceInput) entry() (*Entry, *rowError) {
	switch {
	case p.Lat == nil:
		return nil, bad(fLat, ReasonEmpty, "expected decimal degrees")
	case p.Lng == nil:
		return nil, bad(fLng, ReasonEmpty, "expected decimal degrees")
	}
	out := &Entry{Place: poi.Place{ID: owned(p.POI), Name: cleanName(owned(p.Name)), Category: cleanName(owned(p.Category)), Lat: *p.Lat, Lng: *p.Lng},
		Details: poi.Details{Address: cleanName(owned(p.Address)), Tags: ownedList(p.Tags), Reviews: ownedList(p.Reviews)}}
	out.Closed = p.Closed != nil && *p.Closed
	if p.Image != nil {
		out.Image = bytes.Clone(*p.Image)
	}
	return out, nil
}

// parquetProfile is a profile as it is written.
type parquetProfile struct {
	User       string   `parquet:"user"`
	Gender     string   `parquet:"gender,dict"`
	AgeBand    string   `parquet:"age_band,dict"`
	Occupation string   `parquet:"occupation,dict"`
	Tags       []string `parquet:"tags,list"`
}

func parquetProfileOf(p *UserProfile) (parquetProfile, int) {
	return parquetProfile{User: p.User, Gender: p.Gender, AgeBand: p.AgeBand, Occupation: p.Occupation, Tags: p.Tags}, 0
}

// parquetProfileInput is a profile as it is read; see parquetInput.
type parquetProfileInput struct {
	User       *string  `parquet:"user,optional"`
	Gender     *string  `parquet:"gender,optional"`
	AgeBand    *string  `parquet:"age_band,optional"`
	Occupation *string  `parquet:"occupation,optional"`
	Tags       []string `parquet:"tags,optional,list"`
}

func (p *parquetProfileInput) profile() (*UserProfile, *rowError) {
	return &UserProfile{User: owned(p.User), Profile: poi.Profile{Gender: cleanName(owned(p.Gender)), AgeBand: cleanName(owned(p.AgeBand)),
		Occupation: cleanName(owned(p.Occupation)), Tags: ownedList(p.Tags)}}, nil
}

// owned copies a text out of the reader's buffers.
func owned(s *string) string {
	if s == nil {
		return ""
	}
	return strings.Clone(*s)
}

// ownedList copies a list; an empty one is nil.
func ownedList(list []string) []string {
	if len(list) == 0 {
		return nil
	}
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = cleanName(strings.Clone(s))
	}
	return out
}
