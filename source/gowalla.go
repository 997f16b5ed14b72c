package source

// gowallaLayout is SNAP's loc-gowalla_totalCheckins.txt: user, UTC time,
// latitude, longitude, location id. It has no categories.
var gowallaLayout = layout{
	format:    Gowalla,
	sep:       '\t',
	columns:   []field{fUser, fTime, fLat, fLng, fPOI},
	titles:    []string{"user", "check-in time", "latitude", "longitude", "location id"},
	parseTime: parseISO,
}
