// Package judge compares two systems that recommend places: for the same requests,
// whose list suits the person better (paper section 4.1.5, Table 5)? docs/JUDGE.md
// holds the prompt and the rules in full.
//
// Words: a Case is one request with the lists of both systems; a Verdict is what a
// Judge says of it, on the lists as a whole (system level) and on every place (POI
// level). Two judges are here: Model asks a language model through an
// OpenAI-compatible server, Truth computes from the known relevance of a simulated
// city and needs no network.
//
// Promised: Compare has every case judged twice with the lists exchanged, and what
// the two verdicts do not agree on is even, so that a liking for the first list
// cannot win. Nothing a judge sees names a system. A case without a valid verdict
// counts as failed and as nothing else.
//
// Bad values wrap poi.ErrBadInput. A judge that cannot judge one case returns
// ErrNoVerdict; any other error of a judge (server gone, run cancelled) ends the
// comparison.
package judge

import (
	"context"
	"errors"
	"fmt"

	"github.com/whereto/whereto/poi"
)

// ErrNoVerdict is returned by a Judge for a case that it cannot judge, while others
// may well work.
var ErrNoVerdict = errors.New("no verdict")

// MaxList is the longest list of a case.
const MaxList = 50

// Case is one request and what two systems answer to it.
type Case struct {
	ID    string
	Query poi.Query // for judges that compute; Query.User must be set for Truth
	// Profile, History and Moment are texts for judges that read.
	Profile, History, Moment string
	A, B                     []Candidate // best first, 1 to MaxList, no place twice
}

// Candidate is one place of a list.
type Candidate struct {
	POI  int32  // dense id
	Text string // one line: name, category, distance, what is known of it
}

// Swapped is the case with its lists exchanged.
func (c Case) Swapped() Case {
	c.A, c.B = c.B, c.A
	return c
}

// same reports whether both lists hold the same places in the same order.
func (c Case) same() bool {
	if len(c.A) != len(c.B) {
		return false
	}
	for i := range c.A {
		if c.A[i].POI != c.B[i].POI {
			return false
		}
	}
	return true
}

func (c Case) check() error {
	for _, list := range [][]Candidate{c.A, c.B} {
		if len(list) < 1 || len(list) > MaxList {
			return fmt.Errorf("case %s: %w: a list of %d places, want 1 to %d", c.ID, poi.ErrBadInput, len(list), MaxList)
		}
		seen := make(map[int32]bool, len(list))
		for _, x := range list {
			if seen[x.POI] {
				return fmt.Errorf("case %s: %w: place %d stands twice in one list", c.ID, poi.ErrBadInput, x.POI)
			}
			seen[x.POI] = true
		}
	}
	return nil
}

// Outcome is the result of a comparison, seen from list A.
type Outcome int8

// Outcomes.
const (
	Lose Outcome = iota - 1
	Even
	Win
)

// String returns "win", "even" or "lose".
func (o Outcome) String() string { return [...]string{"lose", "even", "win"}[o+1] }

// MarshalText makes JSON say the word.
func (o Outcome) MarshalText() ([]byte, error) { return []byte(o.String()), nil }

// UnmarshalText reads what MarshalText says, so that results are read back.
func (o *Outcome) UnmarshalText(text []byte) error {
	for _, *o = range []Outcome{Lose, Even, Win} {
		if o.String() == string(text) {
			return nil
		}
	}
	return fmt.Errorf("outcome %q: %w: want win, even or lose", text, poi.ErrBadInput)
}

// Verdict is what a judge says of a case.
type Verdict struct {
	System Outcome // which list is better as a whole
	A, B   []bool  // for each place, whether it suits the person now
}

// count is the POI level of a verdict: who has more places that suit.
func (v Verdict) count() (a, b int) {
	for _, ok := range v.A {
		if ok {
			a++
		}
	}
	for _, ok := range v.B {
		if ok {
			b++
		}
	}
	return a, b
}

// Judge decides cases. Compare may call it from several goroutines.
type Judge interface {
	// Name is the judge's name in a table.
	Name() string
	// Judge returns a verdict with as many entries in A and B as the case has.
	Judge(ctx context.Context, c Case) (Verdict, error)
}
