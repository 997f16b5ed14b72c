package api

import "time"

// POI is one place of the catalog.
type POI struct {
	ID       string  `json:"id" minLength:"1" maxLength:"256"`
	Name     string  `json:"name,omitempty" maxLength:"512"`
	Category string  `json:"category,omitempty" maxLength:"512" doc:"path, levels separated by ' > '"`
	Lat      float64 `json:"lat" minimum:"-90" maximum:"90"`
	Lng      float64 `json:"lng" minimum:"-180" maximum:"180"`
	Closed   bool    `json:"closed,omitempty" doc:"is never returned, keeps its meaning in histories"`
	Known    bool    `json:"known,omitempty" readOnly:"true" doc:"whether the active model has seen it in training"`
}

// Rejected is one line of a bulk request that was not stored, and why.
type Rejected struct {
	Line   int    `json:"line" doc:"from 1"`
	Field  string `json:"field,omitempty"`
	Reason string `json:"reason"`
}

// BulkResponse counts what a bulk request did. Accepted lines are on disk when it arrives.
type BulkResponse struct {
	Accepted  int        `json:"accepted"`
	Duplicate int        `json:"duplicate" doc:"lines whose id was stored before; nothing changed"`
	Rejected  []Rejected `json:"rejected" doc:"the first hundred"`
	Refused   int        `json:"refused" doc:"number of all rejected lines"`
}

// Page is one page of a list; ask again with cursor while next is not empty.
type Page[T any] struct {
	Items []T    `json:"items"`
	Next  string `json:"next,omitempty" doc:"cursor of the next page"`
}

// Deleted counts the traces removed of a user.
type Deleted struct {
	User    string `json:"user"`
	Actions int    `json:"actions"`
}

// Model is one version that can answer.
type Model struct {
	Version  string    `json:"version"`
	Name     string    `json:"name"`
	Index    string    `json:"index" doc:"fingerprint of the index"`
	State    string    `json:"state" enum:"available,loading,ready,active,shadow,draining,failed"`
	Reason   string    `json:"reason,omitempty" doc:"why it failed"`
	Roles    []string  `json:"roles" doc:"generate, rank, embed"`
	Places   int       `json:"places"`
	Users    int       `json:"users"`
	Window   int       `json:"window"`
	Types    []string  `json:"types"`
	Loaded   time.Time `json:"loaded,omitzero"`
	Seconds  float64   `json:"load_seconds,omitempty"`
	Requests int64     `json:"requests"`
	MemoryMB float64   `json:"memory_mb,omitempty" doc:"of weights and kept pasts; what the engine needs to run comes on top"`
	Center   *Point    `json:"center,omitempty" doc:"median of its places"`
	Parts    []Part    `json:"parts,omitempty"`
}

// LoadRequest names a version to load.
type LoadRequest struct {
	Version string `json:"version" minLength:"1" maxLength:"128" doc:"of a bundle that the service knows"`
}

// Point is a position in degrees.
type Point struct {
	Lat float64 `json:"lat"`
	Lng float64 `json:"lng"`
}

// Part is one file of a bundle.
type Part struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// Status is what the status page shows.
type Status struct {
	Version string             `json:"version"`
	Started time.Time          `json:"started"`
	Ready   bool               `json:"ready"`
	Checks  []Check            `json:"checks"`
	Models  []Model            `json:"models"`
	Store   string             `json:"store"`
	Actions int64              `json:"actions"`
	Users   int64              `json:"users"`
	POIs    int64              `json:"pois"`
	Routes  []RouteStatus      `json:"routes"`
	Shadow  *ShadowStatus      `json:"shadow,omitempty"`
	Gauges  map[string]float64 `json:"gauges,omitempty" doc:"drift and cache gauges by metric name"`
}

// Check is one part of readiness.
type Check struct {
	Name   string `json:"name"`
	OK     bool   `json:"ok"`
	Reason string `json:"reason,omitempty"`
}

// RouteStatus is the traffic of one route since the start.
type RouteStatus struct {
	Route    string           `json:"route"`
	Requests int64            `json:"requests"`
	Errors   int64            `json:"errors"`
	ByStatus map[string]int64 `json:"by_status"`
	P50MS    float64          `json:"p50_ms"`
	P90MS    float64          `json:"p90_ms"`
	P99MS    float64          `json:"p99_ms"`
}

// ShadowStatus compares a shadow version with the active one on live requests.
type ShadowStatus struct {
	Version   string  `json:"version"`
	Requests  int64   `json:"requests"`
	SameFirst float64 `json:"same_first" doc:"share of requests with the same first place"`
	Overlap   float64 `json:"overlap" doc:"mean share of places in both lists"`
	Dropped   int64   `json:"dropped" doc:"requests not compared because the machine was busy"`
}

// UserSummary is one person with stored actions.
type UserSummary struct {
	User    string    `json:"user"`
	Actions int       `json:"actions"`
	Last    time.Time `json:"last,omitzero" doc:"time of the latest action"`
}

// Traffic says which versions answer beside the active one.
type Traffic struct {
	Split  []Share `json:"split" maxItems:"16" doc:"users by a hash of their names; the rest meets the active version"`
	Shadow string  `json:"shadow,omitempty" maxLength:"128" doc:"answers beside the active version, unseen; the lists are compared"`
}

// Share is one variant of an A/B split.
type Share struct {
	Version string  `json:"version" minLength:"1" maxLength:"128"`
	Share   float64 `json:"share" minimum:"0" maximum:"1"`
}
