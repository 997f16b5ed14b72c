package serve

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/telemetry"
)

const about = `Where does a person go next? Times are RFC 3339 with the local offset, because people
eat at local noon; angles are degrees named lat and lng; distances are metres. Lists of places are
GeoJSON where Accept asks for application/geo+json or the query says f=geojson.
Errors are problem documents (RFC 9457) with a stable type and the path of every wrong field.`

// newAPI makes the part of the service that reads and checks documents and describes
// itself.
func newAPI(b *board, version string, m *telemetry.Metrics) huma.API {
	format := huma.Format{Unmarshal: decode, Marshal: func(w io.Writer, v any) error {
		start := time.Now()
		defer func() { m.Took(telemetry.StageEncode, time.Since(start)) }()
		enc := json.NewEncoder(w)
		enc.SetEscapeHTML(false)
		return enc.Encode(v)
	}}
	config := huma.Config{
		OpenAPI: &huma.OpenAPI{OpenAPI: "3.1.0",
			Info: &huma.Info{Title: "whereto", Version: version, Description: about},
			Components: &huma.Components{
				Schemas: huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer),
				SecuritySchemes: map[string]*huma.SecurityScheme{
					"bearer": {Type: "http", Scheme: "bearer", Description: "Authorization: Bearer KEY"},
					"apiKey": {Type: "apiKey", In: "header", Name: "X-API-Key"},
				}}},
		Formats:                      map[string]huma.Format{"application/json": format, "json": format},
		DefaultFormat:                "application/json",
		RejectUnknownQueryParameters: true,
	}
	config.Transformers = []huma.Transformer{ownProblem(config.Components.Schemas), asGeoJSON}
	return humago.New(b, config)
}

// doc describes a route to people; method, path and access stand in its row.
type doc struct {
	id      string // method and path of the row
	tag     string
	summary string
	text    string
	example any          // of a body
	bulk    *huma.Schema // of a line, for routes that take bulks
	lines   string       // example of a bulk
	geojson bool
}

// operation describes a route.
func (s *Server) operation(d doc) huma.Operation {
	r := s.board.rows[d.id]
	if r == nil { // reported by check
		s.board.handle(d.id, nil)
		r = &row{method: "GET", path: d.id}
	}
	op := huma.Operation{OperationID: strings.ReplaceAll(r.name, "_", "-"), Method: r.method, Path: r.path, Summary: d.summary, Description: d.text,
		Tags: []string{d.tag}, Responses: map[string]*huma.Response{}, BodyReadTimeout: -1,
		// One more than the row's: huma counts a body of exactly its limit as too long.
		MaxBodyBytes: r.body + 1}
	if d.example != nil {
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/json": {Example: d.example}}}
	}
	if d.bulk != nil {
		most := api.MaxBulk
		op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{
			"application/x-ndjson": {Schema: &huma.Schema{Type: "string", Description: "one JSON object a line"}, Example: d.lines},
			"application/json":     {Schema: &huma.Schema{Type: "array", Items: d.bulk, MaxItems: &most}},
		}}
	}
	schema := s.api.OpenAPI().Components.Schemas.Schema(reflect.TypeFor[Problem](), true, "Problem")
	op.Responses["default"] = &huma.Response{Description: "A problem", Content: map[string]*huma.MediaType{problemType: {Schema: schema}}}
	if r.need != public {
		op.Security = []map[string][]string{{"bearer": {}}, {"apiKey": {}}}
		op.Description = strings.TrimSpace(op.Description + fmt.Sprintf("\n\nFor keys of the role %s.", r.need.role()))
	}
	if d.geojson {
		text := `"application/geo+json": the places as a FeatureCollection, coordinates in the order lng, lat.`
		op.Description += "\n\n" + text
	}
	return op
}

// ask registers a route whose request and answer are documents.
func ask[I, O any](s *Server, d doc, h func(context.Context, *I) (*O, error)) {
	type output struct{ Body *O }
	huma.Register(s.api, s.operation(d), func(ctx context.Context, in *I) (*output, error) {
		out, err := h(ctx, in)
		if err != nil {
			return nil, s.fail(ctx, err)
		}
		return &output{out}, nil
	})
}

// tell registers a route with a handler of its own and describes it. Answer is a value
// of the type that it answers with; nil for none.
func (s *Server) tell(d doc, answer any, h step) {
	op := s.operation(d)
	op.Parameters = pathParameters(op.Path)
	response := &huma.Response{Description: "OK"}
	if answer != nil {
		t := reflect.TypeOf(answer)
		schema := s.api.OpenAPI().Components.Schemas.Schema(t, true, t.Name())
		response.Content = map[string]*huma.MediaType{"application/json": {Schema: schema}}
	}
	op.Responses["200"] = response
	s.api.OpenAPI().AddOperation(&op)
	s.board.handle(d.id, h)
}

func pathParameters(path string) (out []*huma.Param) {
	for part := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			out = append(out, &huma.Param{Name: strings.TrimSuffix(name, "}"), In: "path", Required: true, Schema: &huma.Schema{Type: "string"}})
		}
	}
	return out
}

// writeJSON answers with a document.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// ownProblem replaces what huma says of a request that it refuses by a document of ours.
func ownProblem(schemas huma.Registry) huma.Transformer {
	return func(ctx huma.Context, _ string, v any) (any, error) {
		said, ok := v.(*huma.ErrorModel)
		if !ok {
			return v, nil
		}
		p := problemOfHuma(schemas, ctx.Operation(), said).fill(ctx.Context())
		ctx.SetStatus(p.Status) // the first one counts, and huma's comes later
		return p, nil
	}
}

func problemOfHuma(schemas huma.Registry, op *huma.Operation, said *huma.ErrorModel) *Problem {
	p := refuse(kindOfStatus(said.Status), "")
	if said.Status == http.StatusBadRequest && op.MaxBodyBytes > 1 && len(said.Errors) == 0 {
		p = refuse(invalid, "a body is required")
	}
	for _, e := range said.Errors {
		p.Errors = append(p.Errors, faultOf(schemas, op, e))
	}
	slices.SortStableFunc(p.Errors, func(a, b Fault) int { return strings.Compare(a.Location, b.Location) }) // huma walks maps
	const most = 20
	if len(p.Errors) > most {
		p.Detail = fmt.Sprintf("%d faults; the first %d follow", len(p.Errors), most)
		p.Errors = p.Errors[:most]
	}
	if p.kind == wrongType && len(p.Errors) > 0 {
		p.Detail, p.Errors = "send Content-Type: application/json", nil
	}
	return p
}

// faultOf puts a fault found by huma in our words.
func faultOf(schemas huma.Registry, op *huma.Operation, e *huma.ErrorDetail) Fault {
	f := Fault{Location: e.Location, Message: e.Message, Value: shortened(e.Value)}
	name := e.Location[strings.LastIndexByte(e.Location, '.')+1:]
	switch {
	case e.Location == "body":
		f.Value = nil // the whole of it
	case e.Message == "unexpected property":
		if given, ok := e.Value.(map[string]any); ok {
			f.Value = shortened(given[name])
		}
		f.Message = unknown("field", name, fieldNames(schemas, op, e.Location))
	case e.Message == "unknown query parameter":
		var names []string
		for _, p := range op.Parameters {
			if p.In == "query" {
				names = append(names, p.Name)
			}
		}
		f.Message = unknown("parameter", name, names)
	}
	return f
}
