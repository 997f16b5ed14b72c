package source

// tsmcLayout is dataset_TSMC2014_{NYC,TKY}.txt: user, venue id, category id,
// category name, latitude, longitude, offset from UTC in minutes, UTC time.
var tsmcLayout = layout{
	format:     TSMC,
	sep:        '\t',
	latin1:     true,
	columns:    []field{fUser, fPOI, noField, fCategory, fLat, fLng, fOffset, fTime},
	titles:     []string{"userId", "venueId", "venueCategoryId", "venueCategory", "latitude", "longitude", "timezoneOffset", "utcTimestamp"},
	parseTime:  parseRuby,
	needOffset: true,
}

// tsmcCSVLayout is the same data as CSV with a header; columns in any order,
// others are passed over.
var tsmcCSVLayout = layout{
	format: TSMCCSV,
	sep:    ',',
	quoted: true,
	latin1: true,
	header: map[string]field{"userId": fUser, "venueId": fPOI, "venueCategory": fCategory,
		"latitude": fLat, "longitude": fLng, "timezoneOffset": fOffset, "utcTimestamp": fTime},
	required:   [][]field{{fUser}, {fPOI}, {fLat}, {fLng}, {fOffset}, {fTime}},
	parseTime:  parseRuby,
	needOffset: true,
}
