package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/whereto/whereto/eval"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/run"
)

// moments are when lists are made.
type moments struct {
	d     *poi.Dataset
	cfg   pipeline.Config // that the data and the feed were read by
	feed  *poi.Feed       // nil without impressions
	top   int             // length of the lists
	kinds []momentKind    // the requests of the feed last
}

// momentKind are moments of one kind, and what is hunted at them.
type momentKind struct {
	name     string
	of       int           // moments of the part, of which these are evenly spaced
	requests []poi.Request // the moments as those of a feed
	queries  []poi.Query
	hunt     string    // name of the hunt
	hunted   []int     // moments with something to hunt
	wanted   [][]int32 // by moment
}

// all picks every moment.
func (k *momentKind) all() []int {
	out := make([]int, len(k.requests))
	for i := range out {
		out[i] = i
	}
	return out
}

// longestList is the longest list of a table (paper table 7, HR@100).
const longestList = 100

// newMoments chooses the moments in a data set that is loaded, and finds what is wrong
// with rules and judge before lists are made.
func (l *listRuns) newMoments(d *poi.Dataset) error {
	m := &moments{d: d, cfg: l.dataOf(l.runs[0]), top: min(longestList, len(d.Places))}
	last := eval.LastFive(d, l.tag)
	if of := len(last.Queries); of > 0 {
		m.kinds = append(m.kinds, lastKind(last.Sample(l.flags.rows), of, l.tag, d))
	}
	for _, r := range l.runs {
		if cfg := l.dataOf(r); pipeline.HasFeed(cfg) {
			m.cfg = cfg
			feed, _, err := pipeline.LoadFeed(l.cmd.Context(), cfg, d, l.say)
			if err != nil {
				return err
			}
			m.feed = feed
			break
		}
	}
	if m.feed != nil && len(m.feed.ByTag[l.tag]) > 0 {
		m.kinds = append(m.kinds, feedKind(m.feed, l.tag, l.flags.rows, d))
	}
	if len(m.kinds) == 0 {
		return fmt.Errorf("lists on the %s part of %s: %w: no user has five visits in it and it has no impressions; take another --split", l.tag, d.Name, poi.ErrEmpty)
	}
	l.at = m
	if l.rules != nil {
		if err := l.rules.Check(d.Places); err != nil {
			return err
		}
	}
	if l.flags.judge.value == cityJudge {
		var err error
		l.truth, err = l.cityTruth()
		return err
	}
	return nil
}

// lastKind are the moments before the last five actions.
func lastKind(h eval.Hunt, of int, tag poi.Tag, d *poi.Dataset) momentKind {
	k := momentKind{name: h.Name, hunt: h.Name, of: of, queries: h.Queries, wanted: h.Wanted}
	for i := range h.Queries {
		q := &h.Queries[i]
		k.requests = append(k.requests, poi.Request{ID: fmt.Sprintf("%s-%d", d.Users[q.User].ID, len(q.History)), User: q.User, Pos: int32(len(q.History)),
			TimeMS: q.TimeMS, OffsetMin: q.OffsetMin, HasUser: q.HasPos, Tag: tag, UserLat: float32(q.Lat), UserLng: float32(q.Lng)})
		k.hunted = append(k.hunted, i)
	}
	return k
}

// feedKind are requests of a feed, with or without a click: where rules are measured
// and lists judged, clicks must not choose the moments.
func feedKind(f *poi.Feed, tag poi.Tag, rows int, d *poi.Dataset) momentKind {
	all := f.ByTag[tag]
	n := min(rows, len(all))
	k := momentKind{name: "requests", of: len(all), wanted: make([][]int32, n)}
	var clicked poi.Feed
	for i := range n {
		r := f.Requests[all[i*len(all)/n]]
		if slices.ContainsFunc(r.Options, func(o poi.Option) bool { return o.Clicked }) {
			k.hunted = append(k.hunted, i)
			clicked.ByTag[tag] = append(clicked.ByTag[tag], int32(i))
		}
		k.requests, k.queries = append(k.requests, r), append(k.queries, d.QueryAt(&r))
	}
	clicked.Requests = k.requests
	h := eval.Clicked(d, &clicked, tag)
	k.hunt = h.Name
	for i, at := range k.hunted {
		k.wanted[at] = h.Wanted[i]
	}
	return k
}

// readMoments loads the data without a network, for lists that are saved.
func (l *listRuns) readMoments() error {
	ctx, cfg := l.cmd.Context(), l.dataOf(l.runs[0])
	log, err := pipeline.Read(ctx, cfg, io.Discard, l.say)
	if err != nil {
		return fmt.Errorf("read the data of run %s: %w; if it has moved, say where with --data", l.runs[0].dir, err)
	}
	d, _, err := pipeline.Describe(ctx, cfg, log, l.say)
	if err != nil {
		return err
	}
	r, err := run.Open(l.runs[0].dir)
	if err != nil {
		return err
	}
	if err := errors.Join(fit.SameData(r, d), r.Close()); err != nil {
		return err
	}
	return l.newMoments(d)
}

const (
	// askAtOnce is how many moments are asked between two looks at the clock.
	askAtOnce = 64
	// askQuiet is how long making lists may be silent.
	askQuiet = 5 * time.Second
)

// ask has a run make its lists at the moments of a kind.
func (l *listRuns) ask(t *fit.Trained, k *momentKind) ([][]int32, error) {
	l.say(fmt.Sprintf("lists of %s for %s: %d moments", t.Run.Dir(), k.name, len(k.queries)))
	out := make([][]int32, 0, len(k.queries))
	next := time.Now().Add(askQuiet)
	for part := range slices.Chunk(k.queries, askAtOnce) {
		lists, err := eval.Lists(l.cmd.Context(), l.at.d, part, t.Predictor, l.at.top)
		if err != nil {
			return nil, err
		}
		if out = append(out, lists...); time.Now().After(next) {
			next = time.Now().Add(askQuiet)
			l.say(fmt.Sprintf("lists of %s for %s: %d of %d moments", t.Run.Dir(), k.name, len(out), len(k.queries)))
		}
	}
	return out, nil
}

// listsFormat names the format of a file of lists.
const listsFormat = "whereto-lists/1"

// listFile is lists-<split>.json: the lists of one run, with all that tells whether
// they answer the questions of a later call.
type listFile struct {
	Format      string     `json:"format"`
	Split       string     `json:"split"`
	Fingerprint string     `json:"fingerprint"` // of the data
	Feed        string     `json:"feed,omitempty"`
	Checkpoint  string     `json:"checkpoint"`
	Rows        int        `json:"rows"` // asked for, of each kind
	Top         int        `json:"top"`  // length of the lists
	Kinds       []listKind `json:"kinds"`
}

// listKind are the lists at moments of one kind.
type listKind struct {
	Name    string       `json:"name"`
	Moments []listMoment `json:"moments"`
}

// listMoment is one list, best first.
type listMoment struct {
	ID     string   `json:"id"`
	User   string   `json:"user"`
	TimeMS int64    `json:"time_ms"`
	Places []string `json:"places"`
}

// frame is the file of lists without the kinds.
func (l *listRuns) frame() listFile {
	f := listFile{Format: listsFormat, Split: l.tag.String(), Fingerprint: l.at.d.Fingerprint, Checkpoint: l.from.checkpoint.value, Rows: l.flags.rows, Top: l.at.top}
	if l.at.feed != nil {
		f.Feed = l.at.feed.Fingerprint
	}
	return f
}

// save writes the lists of a run into its folder.
func (l *listRuns) save(to *run.Run, r *listed) error {
	f := l.frame()
	for i := range l.at.kinds {
		k := &l.at.kinds[i]
		kind := listKind{Name: k.name}
		for j := range k.requests {
			m := listMoment{ID: k.requests[j].ID, User: l.at.d.Users[k.requests[j].User].ID, TimeMS: k.requests[j].TimeMS, Places: []string{}}
			for _, p := range r.lists[i][j] {
				m.Places = append(m.Places, l.at.d.Places[p].ID)
			}
			kind.Moments = append(kind.Moments, m)
		}
		f.Kinds = append(f.Kinds, kind)
	}
	return to.WriteTo(listsName(l.tag), func(w io.Writer) error { return json.NewEncoder(w).Encode(f) })
}

// load reads what save wrote, and refuses lists that answer other questions.
func (l *listRuns) load(r *listed) (err error) {
	folder, err := run.Open(r.dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, folder.Close()) }()
	text, err := folder.ReadFile(listsName(l.tag))
	if err != nil {
		return fmt.Errorf("saved lists: %w; run without --saved once", err)
	}
	path := folder.Path(listsName(l.tag))
	var f listFile
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&f); err != nil {
		return fmt.Errorf("saved lists of %s: %w: %w; run without --saved once", path, run.ErrCorrupt, err)
	}
	if err := l.sameQuestions(&f); err != nil {
		return fmt.Errorf("saved lists of %s: %w; run without --saved once", path, err)
	}
	places := make(map[string]int32, len(l.at.d.Places))
	for p := range l.at.d.Places {
		places[l.at.d.Places[p].ID] = int32(p)
	}
	for i := range f.Kinds {
		var lists [][]int32
		for j := range f.Kinds[i].Moments {
			list, err := f.Kinds[i].Moments[j].dense(places, l.at.top)
			if err != nil {
				return fmt.Errorf("saved lists of %s: %w; run without --saved once", path, err)
			}
			lists = append(lists, list)
		}
		r.lists = append(r.lists, lists)
	}
	return nil
}

// dense returns the list as numbers of places.
func (m *listMoment) dense(places map[string]int32, most int) ([]int32, error) {
	if len(m.Places) > most {
		return nil, fmt.Errorf("moment %s has %d places, want at most %d: %w", m.ID, len(m.Places), most, run.ErrCorrupt)
	}
	out := make([]int32, len(m.Places))
	for i, id := range m.Places {
		p, known := places[id]
		if !known || slices.Contains(out[:i], p) {
			return nil, fmt.Errorf("moment %s: place %q is unknown or stands twice: %w", m.ID, id, run.ErrCorrupt)
		}
		out[i] = p
	}
	return out, nil
}

// sameQuestions reports with eval.ErrMixed how a file's moments differ from ours.
func (l *listRuns) sameQuestions(f *listFile) error {
	want := l.frame()
	for _, x := range []struct{ what, got, want string }{
		{"format", f.Format, want.Format}, {"split", f.Split, want.Split}, {"data", f.Fingerprint, want.Fingerprint}, {"feed", f.Feed, want.Feed},
		{"checkpoint", f.Checkpoint, want.Checkpoint}, {"--rows", fmt.Sprint(f.Rows), fmt.Sprint(want.Rows)},
		{"length of lists", fmt.Sprint(f.Top), fmt.Sprint(want.Top)}, {"number of kinds", fmt.Sprint(len(f.Kinds)), fmt.Sprint(len(l.at.kinds))}} {
		if x.got != x.want {
			return fmt.Errorf("%w: its %s is %q, here %q", eval.ErrMixed, x.what, x.got, x.want)
		}
	}
	for i := range l.at.kinds {
		k, saved := &l.at.kinds[i], &f.Kinds[i]
		if saved.Name != k.name || len(saved.Moments) != len(k.requests) {
			return fmt.Errorf("%w: it has %d moments of %q, here are %d of %q", eval.ErrMixed, len(saved.Moments), saved.Name, len(k.requests), k.name)
		}
		for j := range k.requests {
			m, q := &saved.Moments[j], &k.requests[j]
			if m.ID != q.ID || m.TimeMS != q.TimeMS || m.User != l.at.d.Users[q.User].ID {
				return fmt.Errorf("%w: moment %d of %q is %s of %s, here %s of %s", eval.ErrMixed, j, k.name, m.ID, m.User, q.ID, l.at.d.Users[q.User].ID)
			}
		}
	}
	return nil
}
