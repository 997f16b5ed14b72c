package eval

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/whereto/whereto/poi"
)

// act is a visit at a wall-clock time, offset in minutes.
func act(t testing.TB, place int32, local string, offset int16) poi.Visit {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04", local)
	if err != nil {
		t.Fatal(err)
	}
	return poi.Visit{POI: place, TimeMS: at.UnixMilli() - int64(offset)*60_000, OffsetMin: offset}
}

// Two users. The first was at 1 and 2 on the 1st, at 3 late on the 5th in local time
// (the 6th in UTC) and at 1 on the 6th: active days, latest first, {1}, {3}, {1, 2}.
// The second has no history.
func handmade(t *testing.T) ([]poi.Query, [][]int32) {
	history := []poi.Visit{act(t, 1, "2024-03-01 09:00", -300), act(t, 2, "2024-03-01 21:00", -300),
		act(t, 3, "2024-03-05 23:30", -300), act(t, 1, "2024-03-06 00:30", -300)}
	return []poi.Query{{User: 4, History: history}, {User: 9}}, [][]int32{{1, 3, 2, 8}, {5, 6}}
}

func TestDiscoveryByHand(t *testing.T) {
	queries, lists := handmade(t)
	popular := [][]int32{{1, 3, 2, 7}, {}}
	got, err := Discovery([]string{"ours", "popular"}, [][][]int32{lists, popular}, queries, []int{1, 2, 4}, []int{1, 2, 3, 99}, Options{Seed: 3, Resamples: 50})
	if err != nil {
		t.Fatal(err)
	}
	// First user, m = 1: {1} known; m = 2: {1, 3}; from m = 3: {1, 2, 3}. The second
	// user's list is all new: 1 at every k and m.
	first := [][]float64{{0, 0, 0, 0}, {.5, 0, 0, 0}, {.75, .5, .25, .25}}
	for i, row := range first {
		for j, x := range row {
			if v := got.Rows[0].Rates[i][j].Value; v != (x+1)/2 {
				t.Errorf("ours: D(%d, %d) is %v, want %v", got.Ks[i], got.Ms[j], v, (x+1)/2)
			}
			// The second system shows the same to the first user and nothing to the second.
			if v, d := got.Rows[1].Rates[i][j].Value, got.Rows[1].Paired[i][j].Value; v != x/2 || d != -.5 {
				t.Errorf("popular: D(%d, %d) is %v and differs by %v, want %v and -.5", got.Ks[i], got.Ms[j], v, d, x/2)
			}
		}
	}
	if got.N != 2 || got.Users != 2 || got.Rows[0].Short != 1 || got.Rows[1].Short != 1 || got.Rows[0].Paired != nil || got.Resamples != 50 {
		t.Errorf("%+v", got)
	}
}

// Rows of one user are drawn together, unknown users each alone.
func TestDiscoveryDrawsUsers(t *testing.T) {
	visited := []poi.Visit{act(t, 1, "2024-03-01 09:00", 0)}
	rate := func(users ...int32) (*DiscoveryTable, Value) {
		var queries []poi.Query
		var lists [][]int32
		for i, u := range users {
			queries, lists = append(queries, poi.Query{User: u, History: visited}), append(lists, []int32{int32(1 + i%2)})
		}
		got, err := Discovery([]string{"x"}, [][][]int32{lists}, queries, []int{1}, []int{1}, Options{Resamples: 200})
		if err != nil {
			t.Fatal(err)
		}
		return got, got.Rows[0].Rates[0][0]
	}
	if got, v := rate(7, 7, 7, 7); got.Users != 1 || v != (Value{.5, .5, .5}) {
		t.Errorf("one user: %d, %+v; want no spread", got.Users, v)
	}
	if got, v := rate(-1, -1, -1, -1); got.Users != 4 || v.Lo == v.Hi {
		t.Errorf("four unknown users: %d, %+v; want a spread", got.Users, v)
	}
}

// Rates are shares, fall with m, and no order of one day's visits changes them.
func TestDiscoveryLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var queries []poi.Query
		var lists [][]int32
		for range rapid.IntRange(1, 4).Draw(t, "queries") {
			var h []poi.Visit
			day := rapid.IntRange(-3, 3).Draw(t, "first day")
			for range rapid.IntRange(0, 12).Draw(t, "visits") {
				day += rapid.IntRange(0, 2).Draw(t, "gap")
				h = append(h, poi.Visit{POI: rapid.Int32Range(0, 9).Draw(t, "place"), TimeMS: int64(day)*dayMS + int64(len(h))})
			}
			queries = append(queries, poi.Query{User: rapid.Int32Range(-1, 2).Draw(t, "user"), History: h})
			lists = append(lists, rapid.SliceOfNDistinct(rapid.Int32Range(0, 12), 0, 8, rapid.ID[int32]).Draw(t, "list"))
		}
		ks, ms := []int{1, 3, 8}, []int{1, 2, 3, 5, 30}
		got, err := Discovery([]string{"a", "b"}, [][][]int32{lists, lists}, queries, ks, ms, Options{Resamples: 20})
		if err != nil {
			t.Fatal(err)
		}
		for i, row := range got.Rows[0].Rates {
			for j, v := range row {
				if v.Lo < 0 || v.Hi > 1 || v.Lo > v.Hi || j > 0 && v.Value > row[j-1].Value+1e-12 {
					t.Fatalf("D(%d, m) = %v", ks[i], row)
				}
				if want := slow(queries, lists, ks[i], ms[j]); math.Abs(v.Value-want) > 1e-12 {
					t.Fatalf("D(%d, %d) is %v, by definition %v", ks[i], ms[j], v.Value, want)
				}
				if got.Rows[1].Paired[i][j] != (Value{}) {
					t.Fatalf("a system differs from itself by %+v", got.Rows[1].Paired[i][j])
				}
			}
		}
	})
}

// slow is the definition: the m latest distinct days, the places on them, a set.
func slow(queries []poi.Query, lists [][]int32, k, m int) float64 {
	sum := 0.0
	for i, q := range queries {
		var days []string
		for _, v := range q.History {
			days = append(days, v.Local().Format("2006-01-02"))
		}
		distinct := slices.Compact(slices.Clone(days))
		recent := distinct[max(0, len(distinct)-m):]
		top := lists[i][:min(k, len(lists[i]))]
		fresh := 0
		for _, p := range top {
			known := false
			for j, v := range q.History {
				known = known || v.POI == p && slices.Contains(recent, days[j])
			}
			if !known {
				fresh++
			}
		}
		if len(top) > 0 {
			sum += float64(fresh) / float64(len(top))
		}
	}
	return sum / float64(len(queries))
}

func TestDiscoveryRefuses(t *testing.T) {
	queries, lists := handmade(t)
	back := []poi.Visit{queries[0].History[3], queries[0].History[0]}
	one, all := []string{"x"}, [][][]int32{lists}
	for name, tt := range map[string]struct {
		names   []string
		lists   [][][]int32
		queries []poi.Query
		ks, ms  []int
		kind    error
		want    string
	}{
		"no queries": {one, all, nil, []int{1}, []int{1}, poi.ErrEmpty, "no queries"},
		"no systems": {nil, nil, queries, []int{1}, []int{1}, poi.ErrEmpty, "no systems"},
		"names":      {[]string{"x", "y"}, all, queries, []int{1}, []int{1}, poi.ErrBadInput, "lists of 1 systems, 2 names"},
		"lists":      {one, [][][]int32{lists[:1]}, queries, []int{1}, []int{1}, poi.ErrBadInput, "x has 1 lists for 2 queries"},
		"k":          {one, all, queries, []int{0}, []int{1}, poi.ErrBadInput, "0 among the lengths"},
		"m":          {one, all, queries, []int{1}, []int{36_501}, poi.ErrBadInput, "36501 among the numbers of days"},
		"no m":       {one, all, queries, []int{1}, nil, poi.ErrBadInput, "0 numbers of days"},
		"many k":     {one, all, queries, make([]int, 65), []int{1}, poi.ErrBadInput, "65 lengths"},
		"twice":      {one, [][][]int32{{{1, 2, 1}, {}}}, queries, []int{1}, []int{1}, poi.ErrBadInput, "POI 1 twice"},
		"order":      {one, all, []poi.Query{{History: back}, {}}, []int{1}, []int{9}, poi.ErrBadInput, "query 0"},
	} {
		_, err := Discovery(tt.names, tt.lists, tt.queries, tt.ks, tt.ms, Options{Resamples: 5})
		if !errors.Is(err, tt.kind) || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if _, err := Discovery(one, all, queries, []int{1}, []int{1}, Options{Resamples: -1}); err == nil {
		t.Error("-1 resamples went through")
	}
}

func TestDiscoveryTables(t *testing.T) {
	queries, lists := handmade(t)
	table, err := Discovery([]string{"ours", "a|b"}, [][][]int32{lists, lists}, queries[:1], []int{2, 4}, []int{1, 2}, Options{Seed: 3, Resamples: 50})
	if err == nil || !strings.Contains(err.Error(), "2 lists for 1 queries") {
		t.Fatal(err)
	}
	table, err = Discovery([]string{"ours", "a|b"}, [][][]int32{lists[:1], lists[:1]}, queries[:1], []int{2, 4}, []int{1, 2}, Options{Seed: 3, Resamples: 50})
	if err != nil {
		t.Fatal(err)
	}
	const caption = "discovery rate D(k, m), the share of the first k places not visited in the past m active days: n=1 of 1 users; " +
		"[95 % intervals], 50 resamples of users, bootstrap seed 3\n"
	var text, markdown, js bytes.Buffer
	if err := errors.Join(table.WriteText(&text), table.WriteMarkdown(&markdown), table.WriteJSON(&js)); err != nil {
		t.Fatal(err)
	}
	if want := caption + `system          k               D(k, 1)               D(k, 2)
ours            2  .5000 [.5000, .5000]  .0000 [.0000, .0000]
ours            4  .7500 [.7500, .7500]  .5000 [.5000, .5000]
a|b             2  .5000 [.5000, .5000]  .0000 [.0000, .0000]
a|b             4  .7500 [.7500, .7500]  .5000 [.5000, .5000]
a|b minus ours  2  .0000 [.0000, .0000]  .0000 [.0000, .0000]
a|b minus ours  4  .0000 [.0000, .0000]  .0000 [.0000, .0000]
`; text.String() != want {
		t.Errorf("text:\n%s\nwant:\n%s", text.String(), want)
	}
	if want := "| system | k | D(k, 1) | D(k, 2) |\n|---|---:|---:|---:|\n| ours | 2 | .5000"; !strings.HasPrefix(markdown.String(), caption+"\n"+want) ||
		!strings.Contains(markdown.String(), `| a\|b minus ours | 4 |`) {
		t.Errorf("markdown:\n%s", markdown.String())
	}
	var back DiscoveryTable
	if err := json.Unmarshal(js.Bytes(), &back); err != nil || !reflect.DeepEqual(&back, table) {
		t.Errorf("JSON reads back as %+v (%v)", back, err)
	}
	table.Rows[0].Short = 3
	if s := table.caption(); !strings.HasSuffix(s, "; 3 lists of ours are shorter than 4") {
		t.Errorf("caption %q", s)
	}
	for _, write := range []func() error{func() error { return table.WriteText(broken{}) }, func() error { return table.WriteMarkdown(broken{}) }, func() error { return table.WriteJSON(broken{}) }} {
		if write() == nil {
			t.Error("a full disk went unnoticed")
		}
	}
}

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errors.New("no space left") }
