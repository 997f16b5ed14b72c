package eval

// Value is a figure with its 95 % bootstrap interval.
type Value struct {
	Value float64 `json:"value"`
	Lo    float64 `json:"lo"`
	Hi    float64 `json:"hi"`
}

// Metrics maps a metric's name ("acc@1", "acc@5", "acc@10", "acc@20", "mrr",
// "ndcg@10") to its value.
type Metrics map[string]Value

// Part is a slice of the rows: targets the user visited before, or did not.
type Part struct {
	N       int     `json:"n"`
	Share   float64 `json:"share"`
	Metrics Metrics `json:"metrics"`
}

// Distances are quantiles of the distance error of the first answer, metres.
type Distances struct {
	P50 float64 `json:"p50"`
	P75 float64 `json:"p75"`
	P90 float64 `json:"p90"`
}

// Row is one scorer's line in a table.
type Row struct {
	Metrics   Metrics `json:"metrics"`
	Returns   Part    `json:"returns"`
	Discovery Part    `json:"discovery"`
	// Fresh are the discovery rows again, ranked among the places that are not in
	// the query's history: what a "somewhere new" list would show. In the list of
	// all places a good scorer puts the user's own places first, because four
	// targets in five are returns.
	Fresh    Part      `json:"discovery_among_new"`
	Distance Distances `json:"distance_m"`
	// Paired is the paired bootstrap of (main row minus this row) on acc@1; zero for the main row.
	Paired Value `json:"paired_acc@1"`
	// PairedDiscovery is the same on acc@10 of the discovery rows alone.
	PairedDiscovery Value `json:"paired_discovery_acc@10"`
	// PairedFresh is the same among the places that are new to the user.
	PairedFresh Value `json:"paired_discovery_among_new_acc@10"`
}

// Result is what `eval -o json` prints ; tables and reports read it back.
type Result struct {
	Run         string         `json:"run"`
	Split       string         `json:"split"`
	Protocol    string         `json:"protocol"`
	Fingerprint string         `json:"fingerprint"`
	N           int            `json:"n"`
	Seed        int64          `json:"seed"`      // of the bootstrap
	Resamples   int            `json:"resamples"` // of the bootstrap
	ByUser      bool           `json:"by_user"`   // the bootstrap draws users, not rows
	Name        string         `json:"name"`      // of the main scorer; empty if only floors were run
	Row                        // the main scorer, inlined
	Floors      map[string]Row `json:"floors"`
}

// Prediction is one target's outcome, a line of predictions-<split>.jsonl.
type Prediction struct {
	User      string  `json:"user"`
	Pos       int     `json:"pos"`     // position in the user's sequence
	History   int     `json:"history"` // visits before the request
	Hour      int     `json:"hour"`    // local hour of the target, 0..23
	POI       string  `json:"poi"`
	Lat       float64 `json:"lat"`
	Lng       float64 `json:"lng"`
	Rank      float64 `json:"rank"` // expected rank, 1 is best
	Return    bool    `json:"return"`
	Top       string  `json:"top"`
	TopLat    float64 `json:"top_lat"`
	TopLng    float64 `json:"top_lng"`
	TopProb   float64 `json:"top_prob"`
	ErrMetres float64 `json:"err_m"`
}
