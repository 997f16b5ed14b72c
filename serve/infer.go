package serve

import (
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/whereto/whereto/api"
)

// The Open Inference Protocol, version 2, over the same path as /v1/recommend: each row
// of the tensors is one request there, so both give the same answers.

// maxRows is the most rows of one inference.
const maxRows = 100

// Names and kinds of the tensors.
const (
	tensorUser = "user"
	tensorTime = "time"
	tensorLat  = "lat"
	tensorLng  = "lng"
	tensorK    = "k"

	kindBytes = "BYTES"
	kindFloat = "FP64"
	kindInt   = "INT32"
)

// tensor is a named array, row after row.
type tensor struct {
	Name       string         `json:"name" minLength:"1" maxLength:"64"`
	Shape      []int64        `json:"shape" minItems:"1" maxItems:"2"`
	Datatype   string         `json:"datatype" enum:"BYTES,FP64,INT32"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Data       []any          `json:"data" maxItems:"1000"`
}

// inferRequest asks where each of n people goes next.
type inferRequest struct {
	ID         string         `json:"id,omitempty" maxLength:"128" doc:"repeated in the answer"`
	Parameters map[string]any `json:"parameters,omitempty"`
	Inputs     []tensor       `json:"inputs" minItems:"1" maxItems:"5" doc:"user BYTES [n], time BYTES [n] (RFC 3339), optionally lat and lng FP64 [n] and k INT32 [1]"`
	Outputs    []wanted       `json:"outputs,omitempty" maxItems:"2" doc:"which to return; both if left out"`
}

type wanted struct {
	Name       string         `json:"name" enum:"poi,probability"`
	Parameters map[string]any `json:"parameters,omitempty"`
}

type inferResponse struct {
	Model   string   `json:"model_name"`
	Version string   `json:"model_version,omitempty" doc:"what answered, if it was one version"`
	ID      string   `json:"id,omitempty"`
	Outputs []tensor `json:"outputs" doc:"poi BYTES [n, k], filled up with empty names, and probability FP64 [n, k]"`
}

// tensorMeta describes a tensor; -1 is a length that requests choose.
type tensorMeta struct {
	Name     string `json:"name"`
	Datatype string `json:"datatype"`
	Shape    []int  `json:"shape"`
}

type modelMeta struct {
	Name     string       `json:"name"`
	Versions []string     `json:"versions"`
	Platform string       `json:"platform"`
	Inputs   []tensorMeta `json:"inputs"`
	Outputs  []tensorMeta `json:"outputs"`
}

type serverMeta struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	Extensions []string `json:"extensions"`
}

type modelReady struct {
	Name  string `json:"name"`
	Ready bool   `json:"ready"`
}

type ofModel struct {
	Name string `path:"name" maxLength:"128"`
}

type ofModelVersion struct {
	Name    string `path:"name" maxLength:"128"`
	Version string `path:"version" maxLength:"128"`
}

const tagInference = "open inference"

// addInference registers the routes of the protocol.
func (s *Server) addInference() {
	ask(s, doc{id: "GET /v2", tag: tagInference, summary: "Which server is this?"},
		func(context.Context, *struct{}) (*serverMeta, error) {
			return &serverMeta{Name: "whereto", Version: s.o.Version, Extensions: []string{}}, nil
		})
	ask(s, doc{id: "GET /v2/models/{name}", tag: tagInference, summary: "What a model takes and gives"},
		func(_ context.Context, in *ofModel) (*modelMeta, error) { return s.meta(in.Name, "") })
	ask(s, doc{id: "GET /v2/models/{name}/versions/{version}", tag: tagInference, summary: "What a version takes and gives"},
		func(_ context.Context, in *ofModelVersion) (*modelMeta, error) {
			return s.meta(in.Name, in.Version)
		})
	ask(s, doc{id: "GET /v2/models/{name}/ready", tag: tagInference, summary: "Does a model answer?"},
		func(_ context.Context, in *ofModel) (*modelReady, error) { return s.modelReady(in.Name, "") })
	ask(s, doc{id: "GET /v2/models/{name}/versions/{version}/ready", tag: tagInference, summary: "Does a version answer?"},
		func(_ context.Context, in *ofModelVersion) (*modelReady, error) {
			return s.modelReady(in.Name, in.Version)
		})
	example := map[string]any{"inputs": []map[string]any{
		{"name": tensorUser, "shape": []int{2}, "datatype": kindBytes, "data": []string{"ann", "bob"}},
		{"name": tensorTime, "shape": []int{2}, "datatype": kindBytes, "data": []string{"2026-05-04T12:10:00+02:00", "2026-05-04T19:00:00+02:00"}},
		{"name": tensorK, "shape": []int{1}, "datatype": kindInt, "data": []int{3}}}}
	type infer struct {
		Name string `path:"name" maxLength:"128"`
		Body inferRequest
	}
	ask(s, doc{id: "POST /v2/models/{name}/infer", tag: tagInference, summary: "Where do these people go next?", example: example},
		func(ctx context.Context, in *infer) (*inferResponse, error) {
			return s.infer(ctx, in.Name, "", &in.Body)
		})
	type inferVersion struct {
		Name    string `path:"name" maxLength:"128"`
		Version string `path:"version" maxLength:"128"`
		Body    inferRequest
	}
	ask(s, doc{id: "POST /v2/models/{name}/versions/{version}/infer", tag: tagInference, summary: "Where does a version send these people?", example: example},
		func(ctx context.Context, in *inferVersion) (*inferResponse, error) {
			return s.infer(ctx, in.Name, in.Version, &in.Body)
		})
}

// versions lists the versions of a model, or the one that is named.
func (s *Server) versions(name, version string) ([]api.Model, error) {
	all := slices.DeleteFunc(slices.Clone(s.o.Desk.Models()), func(m api.Model) bool {
		return m.Name != name || version != "" && m.Version != version
	})
	switch {
	case len(all) > 0:
		return all, nil
	case version == "":
		return nil, refuse(notFound, "there is no model of this name")
	}
	return nil, refuse(notFound, "there is no such version of the model")
}

func (s *Server) meta(name, version string) (*modelMeta, error) {
	all, err := s.versions(name, version)
	if err != nil {
		return nil, err
	}
	out := &modelMeta{Name: name, Platform: "whereto",
		Inputs: []tensorMeta{{tensorUser, kindBytes, []int{-1}}, {tensorTime, kindBytes, []int{-1}},
			{tensorLat, kindFloat, []int{-1}}, {tensorLng, kindFloat, []int{-1}}, {tensorK, kindInt, []int{1}}},
		Outputs: []tensorMeta{{"poi", kindBytes, []int{-1, -1}}, {"probability", kindFloat, []int{-1, -1}}}}
	for _, m := range all {
		out.Versions = append(out.Versions, m.Version)
	}
	return out, nil
}

// answers reports whether a version is loaded and takes requests.
func answers(m api.Model) bool {
	return m.State == "active" || m.State == "ready" || m.State == "shadow"
}

func (s *Server) modelReady(name, version string) (*modelReady, error) {
	all, err := s.versions(name, version)
	if err != nil {
		return nil, err
	}
	if !slices.ContainsFunc(all, answers) {
		return nil, refuse(unavailable, "the model is not loaded")
	}
	return &modelReady{Name: name, Ready: true}, nil
}

// infer answers all rows, together so that they can share a batch.
func (s *Server) infer(ctx context.Context, name, version string, in *inferRequest) (*inferResponse, error) {
	all, err := s.versions(name, version)
	if err != nil {
		return nil, err
	}
	isActive := func(m api.Model) bool { return m.State == "active" }
	switch at := slices.IndexFunc(all, answers); {
	case at < 0:
		return nil, refuse(unavailable, "the model is not loaded")
	case version == "" && !slices.ContainsFunc(all, isActive): // else splits decide, as everywhere
		version = all[at].Version
	}
	rows, err := rowsOf(in, version)
	if err != nil {
		return nil, err
	}
	answers := make([]*api.RecommendResponse, len(rows))
	errs := make([]error, len(rows))
	var wait sync.WaitGroup
	for i := range rows {
		wait.Go(func() {
			answers[i], errs[i] = s.recommend(ctx, &rows[i], fmt.Sprintf("row[%d].", i))
		})
	}
	wait.Wait()
	if err := first(errs...); err != nil {
		return nil, err
	}
	return fillTensors(in, name, rows[0].K, answers), nil
}

func fillTensors(in *inferRequest, name string, k int, answers []*api.RecommendResponse) *inferResponse {
	out := &inferResponse{Model: name, ID: in.ID, Version: answers[0].Version.Model}
	shape := []int64{int64(len(answers)), int64(k)}
	pois := tensor{Name: "poi", Datatype: kindBytes, Shape: shape, Data: make([]any, 0, len(answers)*k)}
	probabilities := tensor{Name: "probability", Datatype: kindFloat, Shape: shape, Data: make([]any, 0, len(answers)*k)}
	for _, a := range answers {
		if a.Version.Model != out.Version {
			out.Version = ""
		}
		for i := range k {
			poi, probability := "", 0.0
			if i < len(a.Places) {
				poi, probability = a.Places[i].POI, a.Places[i].Probability
			}
			pois.Data, probabilities.Data = append(pois.Data, poi), append(probabilities.Data, probability)
		}
	}
	for _, t := range []tensor{pois, probabilities} {
		if len(in.Outputs) == 0 || slices.ContainsFunc(in.Outputs, func(w wanted) bool { return w.Name == t.Name }) {
			out.Outputs = append(out.Outputs, t)
		}
	}
	return out
}

// rowsOf reads the tensors as requests.
func rowsOf(in *inferRequest, version string) ([]api.RecommendRequest, error) {
	f := faults{prefix: "body."}
	by := map[string]*tensor{}
	kinds := map[string]string{tensorUser: kindBytes, tensorTime: kindBytes, tensorLat: kindFloat, tensorLng: kindFloat, tensorK: kindInt}
	for i := range in.Inputs {
		t := &in.Inputs[i]
		at := fmt.Sprintf("inputs[%d].", i)
		switch want, known := kinds[t.Name]; {
		case !known:
			f.add(at+"name", t.Name, "is no input; want user, time, lat, lng or k")
		case by[t.Name] != nil:
			f.add(at+"name", t.Name, "stands twice")
		case t.Datatype != want:
			f.add(at+"datatype", t.Datatype, "want %s", want)
		case len(t.Shape) != 1 || t.Shape[0] != int64(len(t.Data)):
			f.add(at+"shape", nil, "want [%d], the number of data", len(t.Data))
		default:
			by[t.Name] = t
		}
	}
	n := 0
	if by[tensorUser] == nil || by[tensorTime] == nil {
		f.add("inputs", nil, "want the tensors user and time")
	} else if n = len(by[tensorUser].Data); n < 1 || n > maxRows {
		f.add("inputs", nil, "%d rows: want 1 to %d", n, maxRows)
	}
	for name, t := range by {
		if want := max(n, 1); name != tensorK && n > 0 && len(t.Data) != want {
			f.add("inputs", nil, "%s has %d rows, user has %d", name, len(t.Data), n)
		}
	}
	if (by[tensorLat] == nil) != (by[tensorLng] == nil) {
		f.add("inputs", nil, "want lat and lng, or neither")
	}
	k := 10
	if t := by[tensorK]; t != nil {
		x, ok := 0.0, len(t.Data) == 1
		if ok {
			x, ok = t.Data[0].(float64)
		}
		if !ok || x != math.Trunc(x) || x < 1 || x > api.MaxK {
			f.add("inputs", nil, "k: want one whole number from 1 to %d", api.MaxK)
		}
		k = int(x)
	}
	if err := f.err(); err != nil {
		return nil, err
	}
	rows := make([]api.RecommendRequest, n)
	for i := range rows {
		rows[i] = api.RecommendRequest{K: k}
		rows[i].Model = version
		fillRow(&f, &rows[i].Who, by, i)
	}
	return rows, f.err()
}

// fillRow reads one row.
func fillRow(f *faults, w *api.Who, by map[string]*tensor, i int) {
	at := func(name string) string { return fmt.Sprintf("inputs[%s].data[%d]", name, i) }
	var ok bool
	if w.User, ok = by[tensorUser].Data[i].(string); !ok || len(w.User) > 256 {
		f.add(at(tensorUser), nil, "want text of at most 256 bytes")
	}
	text, ok := by[tensorTime].Data[i].(string)
	var err error
	if w.Time, err = time.Parse(time.RFC3339, text); !ok || err != nil {
		f.add(at(tensorTime), text, "want a time as RFC 3339 with the local offset")
	}
	if by[tensorLat] == nil {
		return
	}
	for _, x := range []struct {
		name string
		most float64
		to   **float64
	}{{tensorLat, 90, &w.Lat}, {tensorLng, 180, &w.Lng}} {
		v, ok := by[x.name].Data[i].(float64)
		if !ok || !(math.Abs(v) <= x.most) {
			f.add(at(x.name), nil, "want degrees from %v to %v", -x.most, x.most)
		}
		*x.to = &v
	}
}
