package index

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"

	"github.com/paulmach/orb"
	"github.com/paulmach/orb/geojson"

	"github.com/whereto/whereto/poi"
)

// Layers says what WriteGeoJSON writes.
type Layers struct {
	Blocks bool // polygons with block token, grid key and counts; only a hier index has them
	Places bool // live places as points with their tokens
	// Keep, if not nil, limits both layers to these live places, by position.
	Keep func(p int32) bool
}

// BlockProperties are the properties of a block's feature.
type BlockProperties struct {
	Block  int32  `json:"block"`
	Key    string `json:"key"`    // "row/col" of the grid
	Places int    `json:"places"` // live (and kept)
	Slots  int    `json:"slots"`  // inner tokens ever given
}

// PlaceProperties are the properties of a place's feature.
type PlaceProperties struct {
	ID       string `json:"poi"`
	Name     string `json:"name,omitempty"`
	Category string `json:"category,omitempty"`
	Position int32  `json:"position"`
	Block    int32  `json:"block"`
	Inner    int32  `json:"inner"`
}

// WriteGeoJSON writes one RFC 7946 FeatureCollection, a feature a line, blocks in
// token order and then places in position order. Features are written as they
// are made, so memory stays constant whatever the size. Errors: poi.ErrBadInput
// if no layer is asked for, or only blocks of an index whose blocks are not places.
func (ix *Index) WriteGeoJSON(w io.Writer, layers Layers) error {
	if !layers.Places && (!layers.Blocks || ix.Mode != Hier) {
		return fmt.Errorf("writing GeoJSON of a %s index: %w: no layer to write; ask for places", ix.Mode, poi.ErrBadInput)
	}
	f := &features{w: bufio.NewWriterSize(w, 1<<16)}
	f.w.WriteString(`{"type":"FeatureCollection","features":[`)
	if layers.Blocks && ix.Mode == Hier {
		t := ix.Restrict(layers.Keep)
		for _, b := range t.Blocks() {
			write(f, ix.polygon(b), BlockProperties{Block: b, Key: ix.keys[b].String(),
				Places: len(t.Inners(b)), Slots: ix.slotsOf(b)})
		}
	}
	if layers.Places {
		for i := range ix.Places {
			p := &ix.Places[i]
			if p.Closed || layers.Keep != nil && !layers.Keep(int32(i)) {
				continue
			}
			b, inner := ix.Token(int32(i))
			write(f, orb.Point{p.Lng, p.Lat}, PlaceProperties{ID: p.ID, Name: p.Name, Category: p.Category,
				Position: int32(i), Block: b, Inner: inner})
		}
	}
	f.w.WriteString("\n]}\n")
	if f.err == nil {
		f.err = f.w.Flush()
	}
	if f.err != nil {
		return fmt.Errorf("writing GeoJSON: %w", f.err)
	}
	return nil
}

// polygon returns a block's rectangle, counter-clockwise as the RFC asks.
func (ix *Index) polygon(block int32) orb.Polygon {
	b := ix.Grid().Bounds(ix.keys[block])
	return orb.Polygon{{{b.West, b.South}, {b.East, b.South}, {b.East, b.North}, {b.West, b.North}, {b.West, b.South}}}
}

// features writes the members of the array and keeps the first error.
type features struct {
	w   *bufio.Writer
	n   int
	err error
}

func write[P any](f *features, g orb.Geometry, properties P) {
	if f.err != nil {
		return
	}
	b, err := json.Marshal(geojson.FeatureOf[P]{Type: "Feature", Geometry: g, Properties: properties})
	if err != nil {
		f.err = err
		return
	}
	if f.n++; f.n > 1 {
		f.w.WriteByte(',')
	}
	f.w.WriteByte('\n')
	_, f.err = f.w.Write(b)
}
