// Package api holds the words of the HTTP interface: what a request says and what
// an answer says. The service, the Go client, the load tool and the tests share these
// types, so that none of them can mean something else by a field.
//
// Times are RFC 3339 with the LOCAL offset, because people eat at local noon. Angles
// are degrees named lat and lng; only GeoJSON has them in the order lng, lat.
// Distances are metres. The tags are those of the OpenAPI document: limits stand on
// the field they limit.
package api

import "time"

// Limits of a request. They stand in the OpenAPI document too.
const (
	MaxK          = 100
	MaxHistory    = 1000 // actions of an inline history
	MaxCandidates = 500
	MaxExclude    = 1000
	MaxVertices   = 1000 // of a polygon
	MaxPage       = 1000
	MaxBulk       = 10_000 // lines of one bulk request
)

// Action is one thing a person did.
type Action struct {
	ID   string    `json:"id,omitempty" maxLength:"128" doc:"the sender's own name of the action; the same id of the same user is stored once"`
	User string    `json:"user,omitempty" maxLength:"256" doc:"who; left out inside a history"`
	POI  string    `json:"poi" minLength:"1" maxLength:"256" doc:"where"`
	Time time.Time `json:"time" doc:"when, RFC 3339 with the local offset"`
	Type string    `json:"type,omitempty" maxLength:"64" doc:"checkin, search, click, navigate, arrive, favourite; the first type of the model if left out"`
	Lat  *float64  `json:"lat,omitempty" minimum:"-90" maximum:"90" doc:"where the person stood, with lng"`
	Lng  *float64  `json:"lng,omitempty" minimum:"-180" maximum:"180"`
}

// Who says whose past counts and when and where the person is now.
type Who struct {
	User    string    `json:"user,omitempty" maxLength:"256" doc:"a user with stored actions; may be new"`
	History []Action  `json:"history,omitempty" maxItems:"1000" doc:"the person's actions, oldest first, in place of stored ones"`
	Time    time.Time `json:"time,omitzero" doc:"when, RFC 3339 with the local offset; now in the time zone of the person's last action if left out"`
	Lat     *float64  `json:"lat,omitempty" minimum:"-90" maximum:"90" doc:"where the person is, with lng"`
	Lng     *float64  `json:"lng,omitempty" minimum:"-180" maximum:"180"`
	CRS     string    `json:"crs,omitempty" enum:"wgs84,gcj02,bd09" doc:"of every coordinate of the request; wgs84 if left out"`
	Scene   string    `json:"scene,omitempty" maxLength:"64" pattern:"^[A-Za-z0-9_.-]*$" doc:"name of the product surface that asks: splits metrics and keys"`
	Model   string    `json:"model,omitempty" maxLength:"128" doc:"version of a loaded model; the active one, or the variant of the user, if left out"`
}

// Area limits where answers may lie; all parts given must hold.
type Area struct {
	RadiusM float64     `json:"radius_m,omitempty" minimum:"1" maximum:"20100000" doc:"around lat and lng of the request"`
	Box     *Box        `json:"bbox,omitempty"`
	Polygon [][]float64 `json:"polygon,omitempty" maxItems:"1000" doc:"a GeoJSON ring: [lng, lat] pairs, the last equal to the first"`
}

// Box is a rectangle of degrees; west above east crosses the antimeridian.
type Box struct {
	South float64 `json:"south" minimum:"-90" maximum:"90"`
	West  float64 `json:"west" minimum:"-180" maximum:"180"`
	North float64 `json:"north" minimum:"-90" maximum:"90"`
	East  float64 `json:"east" minimum:"-180" maximum:"180"`
}

// RecommendRequest asks for places.
type RecommendRequest struct {
	Who
	K              int      `json:"k,omitempty" minimum:"1" maximum:"100" default:"10"`
	Area           *Area    `json:"area,omitempty"`
	Exclude        []string `json:"exclude,omitempty" maxItems:"1000" doc:"POIs not to return"`
	ExcludeVisited bool     `json:"exclude_visited,omitempty" doc:"return only places new to the person"`
	Categories     []string `json:"categories,omitempty" maxItems:"50" doc:"category paths, levels separated by ' > '; each stands for everything below it"`
}

// Place is one answer.
type Place struct {
	Rank        int      `json:"rank"`
	POI         string   `json:"poi"`
	Name        string   `json:"name,omitempty"`
	Category    string   `json:"category,omitempty"`
	Lat         float64  `json:"lat"`
	Lng         float64  `json:"lng"`
	Probability float64  `json:"probability" doc:"that the person goes there next, among all places of the model; of the rank stage, that the person clicks it"`
	DistanceM   *float64 `json:"distance_m,omitempty" doc:"from the person, or from the last place visited"`
	Source      string   `json:"source" enum:"copy,generate,cold,rank" doc:"copy: mostly the copy head, which weighs the places of the person's past and a few proposals; generate: mostly the generator; cold: a place the model has never seen, judged by those alike around it; rank: the rank stage"`
}

// Source says what answered.
type Source struct {
	Kind   string `json:"kind" enum:"model,fallback"`
	Reason string `json:"reason,omitempty" doc:"why a fallback answered, or what the model had to do without: new user, empty history"`
}

// Version names what answered.
type Version struct {
	Model   string `json:"model"`
	Index   string `json:"index"`
	Variant string `json:"variant,omitempty" doc:"of an A/B split"`
}

// RecommendResponse is a ranked list.
type RecommendResponse struct {
	Places   []Place   `json:"places"`
	Source   Source    `json:"source"`
	Version  Version   `json:"version"`
	Time     time.Time `json:"time" doc:"the moment that was asked about"`
	History  int       `json:"history" doc:"actions the answer rests on"`
	Ignored  int       `json:"ignored,omitempty" doc:"actions on places that the model does not know"`
	Warnings []string  `json:"warnings,omitempty"`
}

// RankRequest asks in what order.
type RankRequest struct {
	Who
	Candidates []string `json:"candidates" minItems:"1" maxItems:"500" doc:"POIs, each once"`
}

// RankResponse has every candidate, best first.
type RankResponse = RecommendResponse

// EmbedRequest asks for vectors; at least one of who and pois.
type EmbedRequest struct {
	Who
	POIs []string `json:"pois,omitempty" maxItems:"500"`
}

// EmbedResponse holds vectors of one length.
type EmbedResponse struct {
	Dim     int                  `json:"dim"`
	User    []float32            `json:"user_vector,omitempty"`
	POIs    map[string][]float32 `json:"poi_vectors,omitempty"`
	Version Version              `json:"version"`
}

// SimilarRequest asks for places like one place.
type SimilarRequest struct {
	POI   string   `json:"poi" minLength:"1" maxLength:"256"`
	K     int      `json:"k,omitempty" minimum:"1" maximum:"100" default:"10"`
	Area  *Area    `json:"area,omitempty"`
	Lat   *float64 `json:"lat,omitempty" minimum:"-90" maximum:"90" doc:"centre of the area's radius; the place itself if left out"`
	Lng   *float64 `json:"lng,omitempty" minimum:"-180" maximum:"180"`
	Model string   `json:"model,omitempty" maxLength:"128"`
}

// SimilarPlace is a place and how like it is, -1 to 1.
type SimilarPlace struct {
	Rank      int     `json:"rank"`
	POI       string  `json:"poi"`
	Name      string  `json:"name,omitempty"`
	Category  string  `json:"category,omitempty"`
	Lat       float64 `json:"lat"`
	Lng       float64 `json:"lng"`
	Score     float64 `json:"score"`
	DistanceM float64 `json:"distance_m"`
}

// SimilarResponse is a list of places, the most alike first.
type SimilarResponse struct {
	Places  []SimilarPlace `json:"places"`
	Version Version        `json:"version"`
}

// ExplainRequest asks why a place, and what if.
type ExplainRequest struct {
	Who
	POI    string   `json:"poi,omitempty" maxLength:"256" doc:"the place to explain; the first answer if left out"`
	K      int      `json:"k,omitempty" minimum:"1" maximum:"50" default:"10"`
	WhatIf []WhatIf `json:"what_if,omitempty" maxItems:"24" doc:"other moments to compare"`
}

// WhatIf is another moment of the same person.
type WhatIf struct {
	Time time.Time `json:"time,omitzero"`
	Lat  *float64  `json:"lat,omitempty" minimum:"-90" maximum:"90"`
	Lng  *float64  `json:"lng,omitempty" minimum:"-180" maximum:"180"`
}

// ExplainResponse takes a recommendation apart.
type ExplainResponse struct {
	Place     Place          `json:"place"`
	CopyGate  float64        `json:"copy_gate" doc:"probability of returning to the past rather than generating"`
	Copied    float64        `json:"copied" doc:"part of the place's probability from the copy head"`
	Generated float64        `json:"generated"`
	Blocks    []Block        `json:"blocks" doc:"the beam: areas of about 5 km, likeliest first; sums of places for a model with a flat index"`
	Actions   []ActionWeight `json:"actions" doc:"past actions by how much the probability falls without them"`
	WhatIf    []WhatIfAnswer `json:"what_if,omitempty"`
	Version   Version        `json:"version"`
	Warnings  []string       `json:"warnings,omitempty"`
}

// Block is one branch of the beam.
type Block struct {
	Block       string       `json:"block"`
	South       float64      `json:"south"`
	West        float64      `json:"west"`
	North       float64      `json:"north"`
	East        float64      `json:"east"`
	Probability float64      `json:"probability"`
	Inners      []InnerPlace `json:"inners" doc:"places of the block by their probability given the block"`
}

// InnerPlace is a leaf of the beam.
type InnerPlace struct {
	POI         string  `json:"poi"`
	Name        string  `json:"name,omitempty"`
	Lat         float64 `json:"lat"`
	Lng         float64 `json:"lng"`
	Probability float64 `json:"probability"`
}

// ActionWeight is one past action and what it does to the place's probability.
type ActionWeight struct {
	POI     string    `json:"poi"`
	Name    string    `json:"name,omitempty"`
	Time    time.Time `json:"time"`
	Type    string    `json:"type"`
	Without float64   `json:"without" doc:"the place's probability had the action not been"`
	Delta   float64   `json:"delta" doc:"probability minus without"`
}

// WhatIfAnswer is the list at another moment.
type WhatIfAnswer struct {
	Time        time.Time `json:"time"`
	Lat         *float64  `json:"lat,omitempty"`
	Lng         *float64  `json:"lng,omitempty"`
	Probability float64   `json:"probability" doc:"of the explained place at that moment"`
	Places      []Place   `json:"places"`
}
