package source

// sparse holds the parts of a native row that JSON and Parquet may leave out.
type sparse struct {
	lat, lng, userLat, userLng *float64
	timeMS, offset             *int64
	time                       *string
}

func (j *jsonAction) sparse() sparse {
	return sparse{lat: j.Lat, lng: j.Lng, userLat: j.UserLat, userLng: j.UserLng,
		timeMS: j.TimeMS, offset: j.OffsetMin, time: j.Time}
}

// fill moves the parts into r, checking only what Limits.check cannot see.
func (s sparse) fill(r *row) *rowError {
	if e := checkID(r.User, fUser); e != nil {
		return e // the clearer message where a row is empty altogether
	}
	switch {
	case s.lat == nil:
		return bad(fLat, ReasonEmpty, "expected decimal degrees")
	case s.lng == nil:
		return bad(fLng, ReasonEmpty, "expected decimal degrees")
	}
	r.Lat, r.Lng = *s.lat, *s.lng
	return s.fillMoment(r)
}

// fillMoment is fill without the POI: where the user was and when.
func (s sparse) fillMoment(r *row) *rowError {
	if (s.userLat == nil) != (s.userLng == nil) {
		return bad(fUserLat, ReasonHalf, "user_lat and user_lng come together or not at all")
	}
	if s.userLat != nil {
		r.UserLat, r.UserLng, r.HasUser = *s.userLat, *s.userLng, true
	}
	switch {
	case s.timeMS != nil:
		r.TimeMS = *s.timeMS
	case s.time != nil:
		if e := nativeTime.readTime([]byte(*s.time), r); e != nil {
			return e
		}
	default:
		return bad(fTimeMS, ReasonEmpty, "expected time_ms or time")
	}
	if s.offset != nil {
		if e := checkOffset(*s.offset); e != nil {
			return e
		}
		r.OffsetMin, r.hasOffset = int16(*s.offset), true
	}
	return nil
}

// parquetAction is the native schema as Parquet, as it is written.
type parquetAction struct {
	User      string   `parquet:"user,dict"`
	POI       string   `parquet:"poi,dict"`
	Name      string   `parquet:"name,dict"`
	Category  string   `parquet:"category,dict"`
	Lat       float64  `parquet:"lat"`
	Lng       float64  `parquet:"lng"`
	UserLat   *float64 `parquet:"user_lat,optional"`
	UserLng   *float64 `parquet:"user_lng,optional"`
	TimeMS    int64    `parquet:"time_ms,delta"`
	OffsetMin int32    `parquet:"offset_min"`
	Type      string   `parquet:"type,dict"`
}

// parquetInput is the same as it is read: every column optional, as most tools
// write it, so that a null becomes a reject and not a zero.
type parquetInput struct {
	User      *string  `parquet:"user,optional"`
	POI       *string  `parquet:"poi,optional"`
	Name      *string  `parquet:"name,optional"`
	Category  *string  `parquet:"category,optional"`
	Lat       *float64 `parquet:"lat,optional"`
	Lng       *float64 `parquet:"lng,optional"`
	UserLat   *float64 `parquet:"user_lat,optional"`
	UserLng   *float64 `parquet:"user_lng,optional"`
	TimeMS    *int64   `parquet:"time_ms,optional"`
	OffsetMin *int32   `parquet:"offset_min,optional"`
	Type      *string  `parquet:"type,optional"`
}

func (p *parquetInput) fill(r *row, strings *interner) *rowError {
	r.User, r.POI, r.Type = strings.copy(p.User), strings.copy(p.POI), strings.copy(p.Type)
	r.Name, r.Category = cleanName(strings.copy(p.Name)), cleanName(strings.copy(p.Category))
	return sparse{lat: p.Lat, lng: p.Lng, userLat: p.UserLat, userLng: p.UserLng, timeMS: p.TimeMS, offset: widened(p.OffsetMin)}.fill(r)
}

func widened(v *int32) *int64 {
	if v == nil {
		return nil
	}
	w := int64(*v)
	return &w
}
