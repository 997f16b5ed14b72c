package web_test

import (
	"bytes"
	"encoding/binary"
	"image"
	"image/color"
	"image/png"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/whereto/whereto/web"
)

// tileFile is one tile that covers the world, with what a PMTiles file says of it.
type tileFile struct {
	data     []byte
	kind     byte // 1 vector, 2 PNG
	metadata string
}

// pmtiles writes a PMTiles file of version 3 with one tile of zoom 0, nothing
// compressed: a header of 127 bytes, the root folder, metadata, the tile.
func pmtiles(t *testing.T, tile tileFile) string {
	t.Helper()
	var dir []byte
	for _, v := range []uint64{1, 0, 1, uint64(len(tile.data)), 1} { // entries, tile id, run, length, offset plus one
		dir = binary.AppendUvarint(dir, v)
	}
	h := make([]byte, 127)
	copy(h, "PMTiles\x03")
	meta := len(h) + len(dir)
	start := meta + len(tile.metadata)
	for i, v := range []int{len(h), len(dir), meta, len(tile.metadata), start, 0, start, len(tile.data), 1, 1, 1} {
		binary.LittleEndian.PutUint64(h[8+8*i:], uint64(v))
	}
	h[96], h[97], h[98], h[99] = 1, 1, 1, tile.kind // clustered, folders and tiles plain
	for i, v := range []int32{-1800000000, -850000000, 1800000000, 850000000} {
		binary.LittleEndian.PutUint32(h[102+4*i:], uint32(v))
	}
	path := filepath.Join(t.TempDir(), "city.pmtiles")
	if err := os.WriteFile(path, bytes.Join([][]byte{h, dir, []byte(tile.metadata), tile.data}, nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func rasterTile(t *testing.T) tileFile {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, 256, 256))
	for i := range 256 * 256 {
		img.Set(i%256, i/256, color.RGBA{12, 200, 99, 255})
	}
	var buf bytes.Buffer
	if err := png.Encode(&buf, img); err != nil {
		t.Fatal(err)
	}
	return tileFile{buf.Bytes(), 2, `{"attribution":"<a href='x'>Somebody's picture</a>"}`}
}

// vectorTile has one layer of water that fills the tile.
func vectorTile() tileFile {
	zig := func(v int64) uint64 { return protowire.EncodeZigZag(v) }
	var path []byte
	for _, v := range []uint64{9, zig(0), zig(0), 26, zig(4096), zig(0), zig(0), zig(4096), zig(-4096), zig(0), 15} { // move, three lines, close
		path = protowire.AppendVarint(path, v)
	}
	var feature []byte
	feature = protowire.AppendTag(feature, 3, protowire.VarintType)
	feature = protowire.AppendVarint(feature, 3) // polygon
	feature = protowire.AppendTag(feature, 4, protowire.BytesType)
	feature = protowire.AppendBytes(feature, path)
	var layer []byte
	layer = protowire.AppendTag(layer, 15, protowire.VarintType)
	layer = protowire.AppendVarint(layer, 2)
	layer = protowire.AppendTag(layer, 1, protowire.BytesType)
	layer = protowire.AppendString(layer, "water")
	layer = protowire.AppendTag(layer, 2, protowire.BytesType)
	layer = protowire.AppendBytes(layer, feature)
	layer = protowire.AppendTag(layer, 5, protowire.VarintType)
	layer = protowire.AppendVarint(layer, 4096)
	var tile []byte
	tile = protowire.AppendTag(tile, 3, protowire.BytesType)
	tile = protowire.AppendBytes(tile, layer)
	return tileFile{tile, 1, `{"vector_layers":[{"id":"water","fields":{}}]}`}
}

func TestBasemapRanges(t *testing.T) {
	path := pmtiles(t, rasterTile(t))
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	h := web.Handler(web.Options{Basemap: path})
	res := get(h, "GET", "/map/basemap.pmtiles", "Range", "bytes=0-126")
	if got := body(t, res); res.StatusCode != http.StatusPartialContent || !bytes.Equal(got, whole[:127]) {
		t.Errorf("the first 127 bytes: %s, %d bytes", res.Status, len(got))
	}
	if res := get(h, "GET", "/map/basemap.pmtiles", "Range", "bytes=999999-"); res.StatusCode != http.StatusRequestedRangeNotSatisfiable {
		t.Errorf("beyond the end: %s, want 416", res.Status)
	}
	tag := res.Header.Get("ETag")
	if err := os.Chtimes(path, time.Time{}, time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := get(h, "GET", "/map/basemap.pmtiles", "Range", "bytes=0-9").Header.Get("ETag"); got == tag {
		t.Errorf("the tag is %s before and after the file was replaced", got)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	res = get(h, "GET", "/map/basemap.pmtiles")
	if said := string(body(t, res)); res.StatusCode != http.StatusNotFound || strings.Contains(said, path) {
		t.Errorf("a basemap that is gone: %s %q, want 404 without its path", res.Status, said)
	}
	if res := get(web.Handler(web.Options{Basemap: t.TempDir()}), "GET", "/map/basemap.pmtiles"); res.StatusCode != http.StatusNotFound {
		t.Errorf("a folder as basemap: %s, want 404", res.Status)
	}
}

func TestBasemapDrawn(t *testing.T) {
	for _, c := range []struct {
		name    string
		tile    tileFile
		r, g, b int
	}{
		{"raster", rasterTile(t), 12, 200, 99},
		{"vector", vectorTile(), 0xd3, 0xe2, 0xea}, // --water of style.css
	} {
		t.Run(c.name, func(t *testing.T) {
			base := newFake().start(t, web.Options{Basemap: pmtiles(t, c.tile)})
			p := open(t, 1100, 700, false, base+"/map/")
			p.quiet(1)
			drawn := func() bool {
				return painted(p.shot("basemap-"+c.name), c.r, c.g, c.b) > 20_000
			}
			p.drawn("basemap-"+c.name, false)
			for deadline := time.Now().Add(patience); !drawn(); {
				if time.Now().After(deadline) {
					t.Fatal("the basemap is not drawn; the page says: " + p.text())
				}
			}
		})
	}
}
