package poi

import "context"

// Impression is one recommendation request of a log: who asked where and when,
// what was shown and what was clicked (paper section 3.2.2, Data Processing).
type Impression struct {
	ID        string // unique in its log
	User      string
	TimeMS    int64 // UTC, milliseconds since 1970
	OffsetMin int16 // local time = UTC + OffsetMin
	UserLat   float64
	UserLng   float64
	HasUser   bool
	Shown     []Shown // in the order of display
}

// Shown is one POI of an impression.
type Shown struct {
	POI     string
	Clicked bool
	// Click is the true probability of a click where it was shown, Relevance the
	// same had the person looked at it for sure (no position bias). Only a simulated
	// log knows them; -1 elsewhere.
	Click, Relevance float32
}

// Details is what a catalog tells of a POI beyond Place, for encoders of text and
// images. Every field may be empty.
type Details struct {
	Address string
	Tags    []string
	Reviews []string
	Image   []byte // PNG or JPEG
}

// Request is an Impression inside a Feed.
type Request struct {
	ID        string
	User      int32 // dense id
	Pos       int32 // how many of the user's visits are strictly before the request
	TimeMS    int64
	OffsetMin int16
	HasUser   bool
	Tag       Tag
	UserLat   float32
	UserLng   float32
	Options   []Option // in the order of display
}

// Option is one candidate of a Request.
type Option struct {
	POI              int32 // dense id
	Clicked          bool
	Click, Relevance float32 // as in Shown
}

// Feed is the impressions of a log in terms of a Dataset.
type Feed struct {
	Requests []Request // by user, then by time
	// ByTag lists positions in Requests.
	ByTag [3][]int32
	// Fingerprint is a hex SHA-256 of the requests and the data set's own.
	Fingerprint string
}

// QueryAt asks for places at the moment of a request. History aliases the data set.
func (d *Dataset) QueryAt(r *Request) Query {
	v := d.Users[r.User].Visits
	return Query{User: r.User, History: v[:r.Pos:r.Pos], TimeMS: r.TimeMS, OffsetMin: r.OffsetMin,
		Lat: float64(r.UserLat), Lng: float64(r.UserLng), HasPos: r.HasUser}
}

// Ranker scores the candidates of requests. The scores of one request compare with
// each other and, where a table pools requests, with those of every other.
type Ranker interface {
	// Name is the row's name in a table.
	Name() string
	// Rank fills dst[i][j] for requests[i].Options[j]; len(dst)==len(requests) and
	// len(dst[i])==len(requests[i].Options). It must not read Clicked, Click or
	// Relevance.
	Rank(ctx context.Context, requests []*Request, dst [][]float64) error
}
