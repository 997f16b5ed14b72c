package telemetry

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
)

// What stands between a name and its value in free text, and what a value is: in
// quotes, in quotes that are themselves quoted, in brackets, or up to the next space.
// A quote that never ends takes all the rest.
const (
	between   = `[\\"']*\s*(?:[:=]|%3d)\s*`
	valueForm = `("(?:\\.|[^"\\])*(?:"|\\?$)|'(?:\\.|[^'\\])*(?:'|\\?$)|\\+"[^"]*(?:"|$)|\[[^\]]*(?:\]|$)|\S+)`
)

// pattern finds something that must not be written; group 1 is what is replaced.
type pattern struct {
	find *regexp.Regexp
	mark mark
}

// patterns take too much rather than too little: a password may hold any sign but a
// space.
var patterns = []pattern{
	{regexp.MustCompile(`(wt_[A-Za-z0-9_.~+/=-]{6,})`), secret},                                                                                  // our API keys
	{regexp.MustCompile(`[A-Za-z][A-Za-z0-9+.-]*://(\S*)@`), secret},                                                                             // user and password of a URL
	{regexp.MustCompile(`(?i)bearer["'\s:=]+(\S+)`), secret},                                                                                     // bearer tokens
	{regexp.MustCompile(`(?is)(?:authorization|cookie)[\\"'\s]*(?:[:=]|%3d)(.*)`), secret},                                                       // headers, and all behind them
	{regexp.MustCompile(`(?i)invalid port ("(?:\\.|[^"\\])*(?:"|\\?$)|\\+"[^"]*(?:"|$))`), secret},                                               // the start of a password, where a URL would not parse
	{regexp.MustCompile(`(?i)(?:` + inText(secretParts, "") + `)[A-Za-z0-9_.-]*` + between + valueForm), secret},                                 // password=x
	{regexp.MustCompile(`(?i)(?:^|[^A-Za-z0-9])(?:` + inText(secretNames, "") + `)` + between + valueForm), secret},                              // key: x
	{regexp.MustCompile(`(?i)(?:^|[^A-Za-z0-9])(?:` + inText(personalNames, `(?:[_.-][A-Za-z0-9_.-]+)?`) + `)` + between + valueForm), personal}, // user=x
	{regexp.MustCompile(`(?i)(?:^|[^A-Za-z0-9])users?\s+("(?:\\.|[^"\\])*(?:"|\\?$)|[^\s#"]*[0-9]\S*)`), personal},                               // user "x", user 7
	{regexp.MustCompile(`/users/([^/\s?"'#{][^/\s?"']*)`), personal},                                                                             // /v1/users/x, not /v1/users/{user}
}

// inText is the alternation of some names as free text writes them.
func inText(names []string, behind string) string {
	var out []string
	for _, n := range names {
		out = append(out, strings.ReplaceAll(n, " ", `[^A-Za-z0-9]?`)+behind)
	}
	return strings.Join(out, "|")
}

// maxFinds bounds the work on one text: where a pattern is found oftener, all the rest
// is hidden.
const maxFinds = 64

// span is a part of a text that must not be written as it is.
type span struct {
	from, to int
	mark     mark
}

// text takes out of free text what looks secret, and what looks personal.
func (r *redactor) text(s string) string {
	s = cut(s)
	if harmless(s) {
		return s
	}
	spans := r.spans(s)
	if len(spans) == 0 {
		return s
	}
	var out strings.Builder
	done := 0
	for _, p := range spans {
		out.WriteString(s[done:p.from])
		if p.mark == secret {
			out.WriteString(hidden)
		} else {
			out.WriteString(r.hashIn(s[p.from:p.to]))
		}
		done = p.to
	}
	out.WriteString(s[done:])
	return out.String()
}

// spans finds all that must not be written, in order and apart. Every pattern is
// looked for in the text as it came, and inside of what it found before, so that no
// word in front can hide the name of a secret.
func (r *redactor) spans(s string) []span {
	var all []span
	for _, p := range patterns {
		if p.mark == personal && r.personal {
			continue
		}
		for n, from := 0, 0; from < len(s); n++ {
			if n == maxFinds {
				all = append(all, span{from, len(s), secret})
				break
			}
			at := p.find.FindStringSubmatchIndex(s[from:])
			if at == nil {
				break
			}
			all = append(all, span{from + at[2], from + at[3], p.mark})
			if at[2] > 0 {
				from += at[2]
			} else {
				from += at[3]
			}
		}
	}
	slices.SortFunc(all, func(a, b span) int { return cmp.Compare(a.from, b.from) })
	var apart []span
	for _, p := range all {
		if n := len(apart); n > 0 && p.from < apart[n-1].to {
			last := &apart[n-1]
			last.to, last.mark = max(last.to, p.to), max(last.mark, p.mark)
		} else if p.from < p.to {
			apart = append(apart, p)
		}
	}
	return apart
}

// hashIn hashes what stands between quotes and other signs of writing, so that an id
// looks the same here and as an attribute.
func (r *redactor) hashIn(value string) string {
	core := strings.Trim(value, "\\\"',;:.()[]{}")
	if core == "" {
		return value
	}
	before, after, _ := strings.Cut(value, core)
	return before + r.hash(core) + after
}

// harmless reports, quickly, that no pattern can match: most strings are single words.
func harmless(s string) bool {
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '_', c == '.', c == '-', c == '/':
		default:
			return false
		}
	}
	return !strings.Contains(s, "wt_") && !strings.Contains(s, "/users/")
}

// cut shortens text to maxText bytes, at a space: half a URL would not show any more
// that the other half is a password.
func cut(s string) string {
	if len(s) <= maxText {
		return s
	}
	return s[:strings.LastIndexAny(s[:maxText], " \t\n\f\r")+1] + "[cut]"
}
