package serve

import (
	"bytes"
	"net/http"
	"strconv"
)

// statusGone is what metrics and logs say of a request whose sender went away; nobody
// is there to receive it.
const statusGone = 499

// answer is the answer to one request. It holds the body until the handler is through,
// so that a fault on the way becomes a whole problem document and not half an answer;
// files go out as they come.
type answer struct {
	w      http.ResponseWriter
	pass   bool // do not hold
	status int  // 0: none yet
	sent   bool // the header is out
	bytes  int
	body   bytes.Buffer
	// problem turns the plain text with which file handlers refuse into a document.
	problem func(status int) []byte
	swallow bool
}

func (a *answer) Header() http.Header { return a.w.Header() }

// Unwrap lets http.ResponseController reach the connection.
func (a *answer) Unwrap() http.ResponseWriter { return a.w }

func (a *answer) WriteHeader(status int) {
	if a.status != 0 {
		return
	}
	a.status = status
	if !a.pass {
		return
	}
	if status >= 400 {
		text := a.problem(status)
		a.swallow = true
		h := a.Header()
		h.Del("Content-Encoding")
		h.Set("Content-Type", problemType)
		h.Set("Content-Length", strconv.Itoa(len(text)))
		a.send()
		n, _ := a.w.Write(text) // a sender who went away needs no answer
		a.bytes += n
		return
	}
	a.send()
}

func (a *answer) send() {
	a.sent = true
	a.w.WriteHeader(a.status)
}

func (a *answer) Write(p []byte) (int, error) {
	if a.status == 0 {
		a.WriteHeader(http.StatusOK)
	}
	switch {
	case a.swallow:
		return len(p), nil
	case a.pass:
		n, err := a.w.Write(p)
		a.bytes += n
		return n, err
	}
	return a.body.Write(p)
}

// drop forgets what was held.
func (a *answer) drop() {
	a.status = 0
	a.body.Reset()
}

// finish sends what was held.
func (a *answer) finish() {
	if a.sent {
		return
	}
	if a.status == 0 {
		a.status = http.StatusOK
	}
	if a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		a.Header().Set("Content-Length", strconv.Itoa(a.body.Len()))
	}
	a.send()
	a.bytes, _ = a.w.Write(a.body.Bytes()) // a sender who went away needs no answer
}
