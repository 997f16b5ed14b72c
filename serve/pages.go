package serve

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"path"
	"strings"
	"sync"

	"github.com/swaggest/swgui/v5/static"

	"github.com/whereto/whereto/web"
)

// The page of the interface, Swagger UI. Its files are carried inside the binary, and
// the page may load nothing from anywhere else.

const docsPage = `<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>whereto: the HTTP interface</title>
<link rel="stylesheet" href="docs/swagger-ui.css">
<link rel="icon" type="image/png" href="docs/favicon-32x32.png">
</head>
<body>
<div id="ui"></div>
<script src="docs/swagger-ui-bundle.js"></script>
<script src="docs/start.js"></script>
</body>
</html>
`

const docsStart = `window.ui = SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#ui",
  deepLinking: true,
  validatorUrl: null,
  defaultModelsExpandDepth: 0,
  presets: [SwaggerUIBundle.presets.apis],
});
`

// docsPolicy: the library styles its elements by itself and draws icons from data
// addresses.
const docsPolicy = "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; " +
	"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// docsFiles are the parts of the library that the page uses.
var docsFiles = []string{"swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png"}

var docsTypes = map[string]string{".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".png": "image/png"}

func docsRoutes() []string {
	out := []string{"/docs", "/docs/start.js"}
	for _, name := range docsFiles {
		out = append(out, "/docs/"+name)
	}
	return out
}

// file answers with a text that does not change while the program runs.
func file(kind string, text []byte, policy string) step {
	return func(w http.ResponseWriter, _ *http.Request) error {
		h := w.Header()
		h.Set("Content-Type", kind)
		h.Set("Content-Security-Policy", policy)
		h.Set("Cache-Control", "no-cache")
		_, err := w.Write(text)
		return err
	}
}

// addPages registers the pages, and the document of the interface, which must be
// complete by now.
func (s *Server) addPages() error {
	schemas := s.api.OpenAPI().Components.Schemas.Map()
	delete(schemas, "ErrorModel") // huma's form of errors, which nobody is sent
	delete(schemas, "ErrorDetail")
	text, err := s.api.OpenAPI().MarshalJSON()
	if err != nil {
		return fmt.Errorf("describe the interface: %w", err)
	}
	yaml, err := s.api.OpenAPI().YAML()
	if err != nil {
		return fmt.Errorf("describe the interface: %w", err)
	}
	const closed = "default-src 'none'"
	s.board.handle("GET /openapi.json", file("application/json", text, closed))
	s.board.handle("GET /openapi.yaml", file("application/yaml", yaml, closed))
	s.board.handle("GET /problems/{name}", problemPage)
	toMap := func(w http.ResponseWriter, _ *http.Request) error {
		// Relative, so that it leads to the right place behind a proxy with a path.
		w.Header().Set("Location", strings.TrimPrefix(web.Prefix, "/"))
		w.WriteHeader(http.StatusTemporaryRedirect)
		return nil
	}
	s.board.handle("GET /{$}", toMap)
	s.board.handle("GET /map", toMap)
	s.board.handle("GET /docs", file("text/html; charset=utf-8", []byte(docsPage), docsPolicy))
	s.board.handle("GET /docs/start.js", file(docsTypes[".js"], []byte(docsStart), docsPolicy))
	files, err := docsTexts()
	if err != nil {
		return fmt.Errorf("read the page of the interface: %w", err)
	}
	for name, text := range files {
		s.board.handle("GET /docs/"+name, file(docsTypes[path.Ext(name)], text, docsPolicy))
	}
	pages := web.Handler(s.o.Web)
	for _, path := range mapRoutes() {
		s.board.handle("GET "+path, plain(pages.ServeHTTP))
	}
	return nil
}

// docsTexts are the files of the library, by name.
var docsTexts = sync.OnceValues(func() (map[string][]byte, error) {
	files := map[string][]byte{}
	for _, name := range docsFiles {
		var err error
		if files[name], err = unpack(name); err != nil {
			return nil, err
		}
	}
	return files, nil
})

// unpack reads a file of the library, which carries most of them compressed.
func unpack(name string) ([]byte, error) {
	if text, err := fs.ReadFile(static.FS, name); err == nil {
		return text, nil
	}
	packed, err := fs.ReadFile(static.FS, name+".gz")
	if err != nil {
		return nil, err
	}
	in, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(in)
}
