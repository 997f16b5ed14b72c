package web

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
)

// head is the start of a PMTiles file of version 3, the only one the page can read; the
// fixed header is 127 bytes long.
const (
	head     = "PMTiles\x03"
	headSize = 127
)

// checkBasemap opens a basemap and looks at its first bytes.
func checkBasemap(path string) (err error) {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("open the basemap: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	start := make([]byte, headSize)
	if _, err := io.ReadFull(f, start); err != nil || string(start[:len(head)]) != head {
		return fmt.Errorf("%w: basemap %s is not a PMTiles file of version 3; make one with planetiler, tippecanoe or an extract of an existing one", ErrBadOption, path)
	}
	return nil
}

// serveBasemap answers requests for parts of the basemap. The file is opened each time,
// so that it can be replaced while the service runs: its tag then changes, and the page
// starts over.
func serveBasemap(w http.ResponseWriter, r *http.Request, path string) {
	f, err := os.Open(path)
	if err != nil {
		http.Error(w, "the basemap cannot be read: "+reason(err), http.StatusNotFound)
		return
	}
	defer f.Close() // it was only read
	info, err := f.Stat()
	if err != nil || !info.Mode().IsRegular() {
		http.Error(w, "the basemap cannot be read: it is not a file", http.StatusNotFound)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/vnd.pmtiles")
	h.Set("Cache-Control", "no-cache")
	h.Set("ETag", fmt.Sprintf(`"%x-%x"`, info.ModTime().UnixNano(), info.Size()))
	http.ServeContent(w, r, "", info.ModTime(), f)
}

// reason keeps the path of a file out of an answer that anybody can read.
func reason(err error) string {
	var where *fs.PathError
	if errors.As(err, &where) {
		return where.Err.Error()
	}
	return err.Error()
}
