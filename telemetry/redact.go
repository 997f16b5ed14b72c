package telemetry

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"log/slog"
	"slices"
	"strings"
	"unicode"
)

// hidden stands where a secret stood.
const hidden = "[redacted]"

// Bounds of what one record may hold; what is beyond is cut off.
const (
	maxText  = 8 << 10 // bytes of one string
	maxDepth = 8       // groups in groups, values in values
	maxItems = 256     // parts of one value
)

// mark says how a name marks the value under it; the higher wins.
type mark uint8

const (
	open     mark = iota // as it is, but for what looks secret
	personal             // as a hash
	secret               // not at all
)

// redactor takes secrets and personal data out of text and values.
type redactor struct {
	personal bool // personal data may stay
	key      [sha256.Size]byte
}

// shared is for text outside of logs: error texts of spans, ids of callers. plainly is
// for text that only whoever runs the service reads.
var (
	shared  = newRedactor(false)
	plainly = newRedactor(true)
)

// Redact takes what looks secret out of a text for whoever runs the service, such as a
// setting: keys, tokens, passwords of URLs and values under names such as password.
// What is personal stays, for a path below /users names nobody there.
func Redact(text string) string { return plainly.text(text) }

// Redacted stands where Redact took something out.
const Redacted = hidden

func newRedactor(personal bool) *redactor {
	r := &redactor{personal: personal}
	rand.Read(r.key[:]) // never fails
	return r
}

// secretParts mark a name as secret wherever they stand in it, secretNames only as the
// whole name, personalNames as the whole name or as one of its words. Names are
// compared without case and punctuation; a space here stands for any sign or none.
var (
	secretParts = []string{"authorization", "api key", "token", "secret", "pass word", "passwd", "pass phrase", "pwd",
		"dsn", "cookie", "credential", "private key", "access key", "bearer"}
	secretNames   = []string{"auth", "pass", "key"}
	personalNames = []string{"user", "users", "user id", "user ids", "user name", "uid", "lat", "lng", "lon", "latitude", "longitude",
		"position", "location", "bbox", "polygon", "history", "ip", "remote", "remote addr"}

	secretBare, secretWhole, personalWhole = bare(secretParts), bare(secretNames), bare(personalNames)
)

// bare takes the spaces out of names.
func bare(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		out[i] = strings.ReplaceAll(n, " ", "")
	}
	return out
}

// markOf says what a name tells about the value under it.
func (r *redactor) markOf(name string) mark {
	words := strings.FieldsFunc(strings.ToLower(name), func(c rune) bool { return !unicode.IsLetter(c) && !unicode.IsDigit(c) })
	whole := strings.Join(words, "")
	holds := func(part string) bool { return strings.Contains(whole, part) }
	switch {
	case slices.Contains(secretWhole, whole), slices.ContainsFunc(secretBare, holds):
		return secret
	case r.personal:
		return open
	case slices.Contains(personalWhole, whole):
		return personal
	}
	for _, w := range words {
		if slices.Contains(personalWhole, w) {
			return personal
		}
	}
	return open
}

// attr returns an attribute that may be written. Under is the mark of the groups it
// stands in.
func (r *redactor) attr(a slog.Attr, under mark, depth int) slog.Attr {
	m := max(under, r.markOf(a.Key))
	a.Key = r.text(a.Key)
	if m == secret { // the names within may be secret too
		a.Value = slog.StringValue(hidden)
		return a
	}
	v := a.Value.Resolve() // turns a panic of LogValue into text
	if v.Kind() == slog.KindGroup {
		if depth >= maxDepth {
			a.Value = slog.StringValue("[too deep]")
			return a
		}
		in := v.Group()
		out := make([]slog.Attr, 0, min(len(in), maxItems))
		for _, sub := range in[:min(len(in), maxItems)] {
			out = append(out, r.attr(sub, m, depth+1))
		}
		a.Value = slog.GroupValue(out...)
		return a
	}
	a.Value = r.value(v, m, depth)
	return a
}

// value returns a value, not a group, that may be written.
func (r *redactor) value(v slog.Value, m mark, depth int) slog.Value {
	if m == secret {
		return slog.StringValue(hidden)
	}
	if v.Kind() == slog.KindString {
		return slog.StringValue(r.marked(v.String(), m))
	}
	if v.Kind() == slog.KindAny {
		w := walker{r: r, left: maxItems}
		return slog.AnyValue(w.walk(v.Any(), m, depth))
	}
	if m == personal {
		return slog.StringValue(r.hash(v.String()))
	}
	return v // numbers, flags, times
}

// marked writes a string under a name with a mark.
func (r *redactor) marked(s string, m mark) string {
	switch m {
	case secret:
		return hidden
	case personal:
		return r.hash(s)
	}
	return r.text(s)
}

// hash is a short name for a value that tells nothing without the key. Nothing stays
// nothing, so that a missing user can be seen.
func (r *redactor) hash(s string) string {
	if s == "" {
		return ""
	}
	h := hmac.New(sha256.New, r.key[:])
	h.Write([]byte(s))
	return "#" + hex.EncodeToString(h.Sum(nil)[:6])
}
