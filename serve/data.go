package serve

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/whereto/whereto/api"
)

// ListQuery is which part of a list is asked for. Huma reads embedded structs only if
// their names are exported.
type ListQuery struct {
	Cursor string `query:"cursor" maxLength:"1024" doc:"next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

type ofUser struct {
	User string `path:"user" maxLength:"256"`
}

type ofPOI struct {
	ID string `path:"id" maxLength:"256"`
}

const (
	tagPeople = "people"
	tagPlaces = "places"
)

const bulkText = "Lines of JSON, or one JSON array. Lines that make no sense are listed in the answer with the reason, " +
	"and the others are stored, all of them in one step. An answer of 400 and above means that nothing was stored."

// addPeople registers what is kept of people.
func (s *Server) addPeople() {
	s.lines = newLines(s.api.OpenAPI().Components.Schemas)
	s.tell(doc{id: "POST /v1/actions", tag: tagPeople, summary: "Store what people did", text: bulkText + " Actions are on disk when the answer arrives; one whose id was stored before changes nothing.",
		bulk: s.lines.action, lines: "{\"id\":\"a1\",\"user\":\"ann\",\"poi\":\"cafe-1\",\"time\":\"2026-05-04T08:15:00+02:00\",\"type\":\"checkin\"}\n"},
		api.BulkResponse{}, s.putActions)
	type who struct {
		ListQuery
		Prefix string `query:"prefix" maxLength:"256" doc:"with which names begin"`
	}
	ask(s, doc{id: "GET /v1/users", tag: tagPeople, summary: "People with stored actions"},
		func(ctx context.Context, in *who) (*api.Page[api.UserSummary], error) {
			return s.o.Desk.Users(ctx, in.Prefix, in.Cursor, in.Limit)
		})
	type what struct {
		User string `path:"user" maxLength:"256"`
		ListQuery
		FormatQuery
	}
	ask(s, doc{id: "GET /v1/users/{user}/actions", tag: tagPeople, summary: "What a person did", geojson: true},
		func(ctx context.Context, in *what) (*api.Page[api.Action], error) {
			return s.o.Desk.Actions(ctx, in.User, in.Cursor, in.Limit)
		})
	ask(s, doc{id: "DELETE /v1/users/{user}", tag: tagPeople, summary: "Remove every trace of a person"},
		func(ctx context.Context, in *ofUser) (*api.Deleted, error) {
			return s.o.Desk.DeleteUser(ctx, in.User)
		})
}

func (s *Server) putActions(w http.ResponseWriter, r *http.Request) error {
	ctx, now, key := r.Context(), s.now(), keyOf(r.Context())
	if len(key.Scenes) > 0 { // an action has no scene
		return covered(ctx)
	}
	b, err := readBatch(r, s.lines.schemas, s.lines.action, func(a *api.Action, f *faults) error {
		f.action(a, now)
		if len(f.list) == 0 {
			if err := key.Covers("", a.Lat, a.Lng); err != nil {
				f.add("lat", nil, "%v", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	of := &api.BulkResponse{}
	if len(b.items) > 0 {
		if of, err = s.o.Desk.PutActions(ctx, b.items); err != nil {
			return err
		}
	}
	return writeJSON(w, http.StatusOK, b.merge(of))
}

// addPlaces registers the catalog.
func (s *Server) addPlaces() {
	s.tell(doc{id: "PUT /v1/pois", tag: tagPlaces, summary: "Add places to the catalog, or change them", text: bulkText,
		bulk: s.lines.poi, lines: "{\"id\":\"bar-9\",\"name\":\"Blue Door\",\"category\":\"Food > Bar\",\"lat\":48.1399,\"lng\":11.5713}\n"},
		api.BulkResponse{}, s.putPOIs)
	type which struct {
		ListQuery
		FormatQuery
		BBox string `query:"bbox" maxLength:"200" doc:"west,south,east,north in degrees, as GeoJSON orders them; west above east crosses the antimeridian" example:"11.5,48.1,11.6,48.2"`
	}
	ask(s, doc{id: "GET /v1/pois", tag: tagPlaces, summary: "The catalog", geojson: true},
		func(ctx context.Context, in *which) (*api.Page[api.POI], error) {
			box, err := parseBox(in.BBox)
			if err := first(err, coversBox(ctx, box)); err != nil {
				return nil, err
			}
			return s.o.Desk.POIs(ctx, in.Cursor, in.Limit, box)
		})
	type one struct {
		ID string `path:"id" maxLength:"256"`
		FormatQuery
	}
	ask(s, doc{id: "GET /v1/pois/{id}", tag: tagPlaces, summary: "One place", geojson: true},
		func(ctx context.Context, in *one) (*api.POI, error) {
			p, err := s.o.Desk.POI(ctx, in.ID)
			if err != nil {
				return nil, first(covered(ctx), err) // not even whether it exists
			}
			return p, keyOf(ctx).Covers("", &p.Lat, &p.Lng)
		})
	huma.Register(s.api, s.operation(doc{id: "DELETE /v1/pois/{id}", tag: tagPlaces, summary: "Close a place",
		text: "It is never returned again and keeps its meaning in what people did."}),
		func(ctx context.Context, in *ofPOI) (*struct{}, error) {
			if err := s.o.Desk.ClosePOI(ctx, in.ID); err != nil {
				return nil, s.fail(ctx, err)
			}
			return nil, nil
		})
}

func (s *Server) putPOIs(w http.ResponseWriter, r *http.Request) error {
	ctx, key := r.Context(), keyOf(r.Context())
	if len(key.Scenes) > 0 {
		return covered(ctx)
	}
	b, err := readBatch(r, s.lines.schemas, s.lines.poi, func(p *api.POI, f *faults) error {
		if err := key.Covers("", &p.Lat, &p.Lng); err != nil {
			f.add("lat", nil, "%v", err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	of := &api.BulkResponse{}
	if len(b.items) > 0 {
		if of, err = s.o.Desk.PutPOIs(ctx, b.items); err != nil {
			return err
		}
	}
	return writeJSON(w, http.StatusOK, b.merge(of))
}

// parseBox reads west,south,east,north; nothing is no box.
func parseBox(text string) (*api.Box, error) {
	if text == "" {
		return nil, nil
	}
	f := faults{prefix: "query."}
	parts := strings.Split(text, ",")
	if len(parts) != 4 {
		f.add("bbox", text, "want four numbers: west,south,east,north")
		return nil, f.err()
	}
	var x [4]float64
	for i, part := range parts {
		most := [...]float64{180, 90, 180, 90}[i]
		var err error
		if x[i], err = strconv.ParseFloat(strings.TrimSpace(part), 64); err != nil || !(x[i] >= -most && x[i] <= most) {
			f.add("bbox", text, "%s: want degrees from %v to %v", [...]string{"west", "south", "east", "north"}[i], -most, most)
		}
	}
	if x[1] > x[3] {
		f.add("bbox", text, "south is above north")
	}
	return &api.Box{West: x[0], South: x[1], East: x[2], North: x[3]}, f.err()
}
