package eval

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"

	"github.com/whereto/whereto/file"
	"github.com/whereto/whereto/poi"
)

// RankScores are the scores of rankers on the requests of one split, with what
// figures need. Those of several runs on the same requests combine: Join for
// other rankers, RankFigures for other seeds of the same rankers.
//
// As a file it is JSON lines: a rankScoresHead, then one RankRequest a line.
type RankScores struct {
	Split       string
	Fingerprint string // of the feed
	Rankers     []RankedBy
	Requests    []RankRequest
}

// RankedBy names a column of scores.
type RankedBy struct {
	Name          string `json:"name"`
	Probabilities bool   `json:"probabilities,omitempty"`
}

// RankRequest is one request: its labels and, for each ranker, its scores.
type RankRequest struct {
	ID      string `json:"id"`
	User    string `json:"user"`
	Clicked []bool `json:"clicked"`
	// Click and Relevance are the true probabilities, empty where unknown.
	Click     []float32   `json:"click,omitempty"`
	Relevance []float32   `json:"relevance,omitempty"`
	Scores    [][]float64 `json:"scores"` // [ranker][option]
}

// rankScoresHead is the first line of a file of scores.
type rankScoresHead struct {
	Format      string     `json:"format"`
	Version     int        `json:"version"`
	Split       string     `json:"split"`
	Fingerprint string     `json:"fingerprint"`
	Rankers     []RankedBy `json:"rankers"`
	Requests    int        `json:"requests"`
}

const (
	rankScoresFormat  = "whereto rank scores"
	rankScoresVersion = 1
	// Limits of a file of scores.
	maxRankers  = 1024
	maxRankLine = 64 << 20
)

// checkNames refuses no ranker, too many, equal names and those of the ceilings.
func (s *RankScores) checkNames() error {
	if len(s.Rankers) == 0 || len(s.Rankers) > maxRankers {
		return fmt.Errorf("rank the %s requests with %d rankers: %w: want 1 to %d", s.Split, len(s.Rankers), poi.ErrBadInput, maxRankers)
	}
	seen := map[string]bool{BayesKnown: true, BayesUnknown: true}
	for _, r := range s.Rankers {
		if r.Name == "" || seen[r.Name] {
			return fmt.Errorf("rank the %s requests: %w: the name %q is empty, there twice or that of a ceiling", s.Split, poi.ErrBadInput, r.Name)
		}
		seen[r.Name] = true
	}
	return nil
}

// check verifies the first n columns of a request.
func (r *RankRequest) check(n int, rankers []RankedBy) error {
	options := len(r.Clicked)
	if options == 0 || len(r.Scores) != n {
		return fmt.Errorf("request %s: %d options and %d columns of scores, want some and %d: %w", r.ID, options, len(r.Scores), n, poi.ErrBadInput)
	}
	if len(r.Click) != len(r.Relevance) || len(r.Click) != 0 && len(r.Click) != options {
		return fmt.Errorf("request %s: %d options, %d and %d true probabilities: %w", r.ID, options, len(r.Click), len(r.Relevance), poi.ErrBadInput)
	}
	for j, p := range r.Click {
		if !(p >= 0 && p <= 1 && r.Relevance[j] >= 0 && r.Relevance[j] <= 1) {
			return fmt.Errorf("request %s, option %d: true probabilities %v and %v: %w", r.ID, j, p, r.Relevance[j], poi.ErrBadInput)
		}
	}
	for c, scores := range r.Scores {
		if len(scores) != options {
			return fmt.Errorf("request %s: %d scores of %s for %d options: %w", r.ID, len(scores), rankers[c].Name, options, poi.ErrBadInput)
		}
		for j, x := range scores {
			if math.IsNaN(x) || math.IsInf(x, 0) || rankers[c].Probabilities && !(x >= 0 && x <= 1) {
				return fmt.Errorf("request %s, option %d: score %v of %s: %w: it was not written, overflowed, or is no probability where it should be", r.ID, j, x, rankers[c].Name, poi.ErrBadInput)
			}
		}
	}
	return nil
}

// Join puts the columns of several rankers on the same requests side by side. It
// refuses other requests with ErrMixed, equal names with poi.ErrBadInput.
func Join(list ...*RankScores) (*RankScores, error) {
	if len(list) == 0 {
		return nil, fmt.Errorf("join scores: %w: none given", poi.ErrEmpty)
	}
	out := &RankScores{Split: list[0].Split, Fingerprint: list[0].Fingerprint, Requests: make([]RankRequest, len(list[0].Requests))}
	for i, r := range list[0].Requests {
		out.Requests[i] = r
		out.Requests[i].Scores = nil
	}
	for _, s := range list {
		if err := sameRequests(list[0], s); err != nil {
			return nil, err
		}
		out.Rankers = append(out.Rankers, s.Rankers...)
		for i := range s.Requests {
			out.Requests[i].Scores = append(out.Requests[i].Scores, s.Requests[i].Scores...)
		}
	}
	return out, out.checkNames()
}

// sameRequests reports with ErrMixed how two sets of scores differ in their rows.
func sameRequests(a, b *RankScores) error {
	for _, f := range []struct{ what, a, b string }{
		{"split", a.Split, b.Split}, {"feed", a.Fingerprint, b.Fingerprint},
		{"number of requests", fmt.Sprint(len(a.Requests)), fmt.Sprint(len(b.Requests))}} {
		if f.a != f.b {
			return fmt.Errorf("combine scores: %w: the %s is %q and %q; rank the same requests with all", ErrMixed, f.what, f.a, f.b)
		}
	}
	for i := range a.Requests {
		x, y := a.Requests[i], b.Requests[i]
		if x.ID != y.ID || x.User != y.User || len(x.Clicked) != len(y.Clicked) {
			return fmt.Errorf("combine scores: %w: request %d is %s of %s with %d options and %s of %s with %d", ErrMixed, i,
				x.ID, x.User, len(x.Clicked), y.ID, y.User, len(y.Clicked))
		}
		for j := range x.Clicked {
			if x.Clicked[j] != y.Clicked[j] {
				return fmt.Errorf("combine scores: %w: option %d of request %s is clicked in one only", ErrMixed, j, x.ID)
			}
		}
	}
	return nil
}

// Write prints the scores as JSON lines.
func (s *RankScores) Write(w io.Writer) error {
	out := bufio.NewWriter(w)
	enc := json.NewEncoder(out)
	head := rankScoresHead{rankScoresFormat, rankScoresVersion, s.Split, s.Fingerprint, s.Rankers, len(s.Requests)}
	if err := enc.Encode(head); err != nil {
		return fmt.Errorf("write rank scores: %w", err)
	}
	for _, r := range s.Requests {
		if err := enc.Encode(r); err != nil {
			return fmt.Errorf("write the scores of request %s: %w", r.ID, err)
		}
	}
	return out.Flush()
}

// Save writes the scores to a file that appears whole or not at all.
func (s *RankScores) Save(path string) error {
	if err := file.Write(path, s.Write); err != nil {
		return fmt.Errorf("save rank scores: %w", err)
	}
	return nil
}

// LoadRankScores reads what Save wrote.
func LoadRankScores(path string) (*RankScores, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("load rank scores: %w", err)
	}
	s, err := ReadRankScores(f)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, fmt.Errorf("load rank scores from %s: %w", path, err)
	}
	return s, nil
}

// ReadRankScores reads what Write printed. Anything else is poi.ErrBadInput: an
// unknown format or version, a file cut off, scores that are not finite.
func ReadRankScores(r io.Reader) (*RankScores, error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxRankLine)
	var head rankScoresHead
	if !lines.Scan() {
		return nil, fmt.Errorf("rank scores: no first line: %w: %w", poi.ErrBadInput, errors.Join(lines.Err(), io.ErrUnexpectedEOF))
	}
	if err := json.Unmarshal(lines.Bytes(), &head); err != nil || head.Format != rankScoresFormat || head.Version != rankScoresVersion {
		return nil, fmt.Errorf("rank scores: the first line is not %q, version %d: %w", rankScoresFormat, rankScoresVersion, errors.Join(poi.ErrBadInput, err))
	}
	s := &RankScores{Split: head.Split, Fingerprint: head.Fingerprint, Rankers: head.Rankers}
	if err := s.checkNames(); err != nil {
		return nil, err
	}
	for lines.Scan() {
		var q RankRequest
		if err := json.Unmarshal(lines.Bytes(), &q); err != nil {
			return nil, fmt.Errorf("rank scores, line %d: %w: %w", len(s.Requests)+2, poi.ErrBadInput, err)
		}
		if err := q.check(len(s.Rankers), s.Rankers); err != nil {
			return nil, fmt.Errorf("rank scores, line %d: %w", len(s.Requests)+2, err)
		}
		s.Requests = append(s.Requests, q)
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("rank scores, after line %d: %w: %w", len(s.Requests)+1, poi.ErrBadInput, err)
	}
	if len(s.Requests) != head.Requests || head.Requests == 0 {
		return nil, fmt.Errorf("rank scores: %d requests, the first line says %d: %w: the file was cut off or joined", len(s.Requests), head.Requests, poi.ErrBadInput)
	}
	return s, nil
}
