// Package sheet is what all pages share: the base of their style, the script of their
// tooltips, axes of drawings, and numbers as people read them. Pages are one file each,
// fetch nothing, and can be read without their script. It fails only where a template
// does not parse, which is at start-up.
package sheet

import (
	"embed"
	"html/template"
	"io/fs"
)

//go:embed base.css script.html
var shared embed.FS

// Parse returns the templates of a page, all *.html of files, with those of this package:
// "base.css", which goes first inside the page's style, and "script.html", the last thing
// of its body, which shows the <title> of elements of class hit as tooltips. It panics on
// a template that does not parse.
func Parse(files fs.FS) *template.Template {
	t := template.Must(template.ParseFS(shared, "base.css", "script.html"))
	return template.Must(t.ParseFS(files, "*.html"))
}
