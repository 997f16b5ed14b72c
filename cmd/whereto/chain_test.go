package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gomlx/compute"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/client"
	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/geo"
	"github.com/whereto/whereto/internal/testkit"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/tune"
	"github.com/whereto/whereto/vector"
)

// rounding is how far figures of one network may lie apart that ran in other batches.
const rounding = 1e-5

// chain is a run of a city with impressions, and the runs of rank and embed that were
// post-trained from it.
type chain struct {
	dir         string // holds city, run, rank and embed
	backend     compute.Backend
	base        *fit.Trained
	rank, embed *tune.Trained
}

// Settings of the stages: so few steps teach something only if they are long.
const (
	tinyStep  = "feed: {requests: 2, options: 16, size: 4}\ntraining: {epochs: 1, max_steps: 6, warmup_steps: 1, lr: 0.05, keep_best: auc}\n"
	tinyRank  = "name: tiny-rank\ntune: {stage: rank, interest: 4, likelihood: true}\nmedia: {kind: builtin, dim: 256}\n" + tinyStep
	tinyEmbed = "name: tiny-embed\ntune: {stage: embed, dim: 6, interest: 4}\nmedia: {kind: builtin, dim: 256}\n" + tinyStep
)

func trainChain(t *testing.T) *chain {
	t.Helper()
	c := &chain{dir: t.TempDir(), backend: goEngine(t)}
	all(t, c.dir, "data synth --users 40 --pois 300 --days 30 --impressions 6 --no-images --out @/city", tinyRun,
		"finetune rank "+testkit.WriteFile(t, "rank.yaml", tinyRank)+" --from @/run --out @/rank",
		"finetune embed "+testkit.WriteFile(t, "embed.yaml", tinyEmbed)+" --from @/run --out @/embed",
		"vectors export @/embed --out @/vectors")
	var err error
	o := fit.OpenOptions{Backend: c.backend}
	if c.base, err = fit.Open(t.Context(), c.at("run"), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.base.Close() })
	for name, stage := range map[string]**tune.Trained{"rank": &c.rank, "embed": &c.embed} {
		if *stage, err = tune.Open(t.Context(), c.at(name), o, tune.Options{Backend: c.backend}); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { (*stage).Close() })
	}
	return c
}

// at is the path of a part of the chain.
func (c *chain) at(name string) string { return filepath.Join(c.dir, name) }

// TestTrainedChain: what was trained is what a service answers with, and its answers do
// not depend on where it keeps its state.
func TestTrainedChain(t *testing.T) {
	c := trainChain(t)
	t.Run("runs", func(t *testing.T) {
		chainAnswers(t, c, c.at("run"), "--rank-run", c.at("rank"), "--embed-run", c.at("embed"))
	})
	t.Run("bundle", func(t *testing.T) {
		all(t, c.dir, "models pack @/run --rank-run @/rank --embed-run @/embed --models @/models --activate")
		chainAnswers(t, c, "--models", c.at("models"))
	})
	t.Run("refused", func(t *testing.T) { chainRefused(t, c) })
	t.Run("stores", func(t *testing.T) { sameOnEachStore(t, c) })
}

// chainAnswers asks a service with all three runs what the runs say in process.
func chainAnswers(t *testing.T, c *chain, args ...string) {
	s := startService(t, append(args, "--store", "sqlite:"+filepath.Join(t.TempDir(), "state.db"))...)
	ask, err := client.New(s.url, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	models, err := ask.Models(t.Context())
	if err != nil || len(models) != 1 || !slices.Equal(models[0].Roles, []string{"generate", "rank", "embed"}) {
		t.Fatalf("models %+v (%v), want one that generates, ranks and embeds", models, err)
	}
	t.Run("rank", func(t *testing.T) { chainRanks(t, c, ask) })
	t.Run("embed", func(t *testing.T) { chainEmbeds(t, c, ask) })
	t.Run("recommend", func(t *testing.T) {
		for _, r := range c.shown()[:4] {
			want, err := c.base.Predictor.Recommend(t.Context(), c.base.Dataset.QueryAt(r), 10)
			if err != nil {
				t.Fatal(err)
			}
			got, err := ask.Recommend(t.Context(), api.RecommendRequest{Who: c.who(r), K: 10})
			if err != nil || len(got.Places) != len(want) || got.Source.Kind != "model" {
				t.Fatalf("request %s: %+v (%v), want %d places of the model", r.ID, got, err, len(want))
			}
			for i, p := range got.Places {
				if math.Abs(p.Probability-want[i].Prob) > rounding {
					t.Errorf("request %s, answer %d: %+v, in process %+v", r.ID, i, p, want[i])
				}
			}
		}
	})
	if status := s.stop(); status != 0 {
		t.Errorf("status %d:\n%s", status, s.err)
	}
}

// shown are impressions of the test part, by people with a past of more than a window.
func (c *chain) shown() (out []*poi.Request) {
	for _, at := range c.rank.Feed.ByTag[poi.Test] {
		if r := &c.rank.Feed.Requests[at]; int(r.Pos) > c.rank.Recipe.Batch.Window {
			out = append(out, r)
		}
	}
	return out
}

// who asks as the person of an impression did.
func (c *chain) who(r *poi.Request) api.Who {
	w := api.Who{User: c.base.Dataset.Users[r.User].ID, Time: moment(r.TimeMS, r.OffsetMin)}
	if r.HasUser {
		lat, lng := float64(r.UserLat), float64(r.UserLng)
		w.Lat, w.Lng = &lat, &lng
	}
	return w
}

// moment is a time with its offset.
func moment(ms int64, offsetMin int16) time.Time {
	return time.UnixMilli(ms).In(time.FixedZone("", 60*int(offsetMin)))
}

// history gives visits as actions of a request.
func history(d *poi.Dataset, visits []poi.Visit) []api.Action {
	out := make([]api.Action, len(visits))
	for i, v := range visits {
		out[i] = api.Action{POI: d.Places[v.POI].ID, Time: moment(v.TimeMS, v.OffsetMin), Type: d.Types[v.Type]}
		if v.HasUser {
			lat, lng := float64(v.UserLat), float64(v.UserLng)
			out[i].Lat, out[i].Lng = &lat, &lng
		}
	}
	return out
}

// chainRanks compares /v1/rank with the ranker that eval measures, for people of the
// data, and with a lone question in process for somebody who is not in it.
func chainRanks(t *testing.T, c *chain, ask *client.Client) {
	shown := c.shown()
	shown = shown[:min(12, len(shown))]
	ranker, err := c.rank.Ranker("rank", c.backend, c.rank.Store)
	if err != nil {
		t.Fatal(err)
	}
	one, err := c.rank.One("rank", c.backend, c.rank.Store)
	if err != nil {
		t.Fatal(err)
	}
	want := make([][]float64, len(shown))
	for i, r := range shown {
		want[i] = make([]float64, len(r.Options))
	}
	if err := ranker.Rank(t.Context(), shown, want); err != nil {
		t.Fatal(err)
	}
	spread := 0.0
	for i, r := range shown {
		places := make([]int32, len(r.Options))
		for k, o := range r.Options {
			places[k] = o.POI
		}
		sameRanks(t, c, ask, r.ID, c.who(r), places, want[i])
		spread = max(spread, slices.Max(want[i])-slices.Min(want[i]))

		q := c.rank.Dataset.QueryAt(r)
		stranger := c.who(r)
		stranger.User, stranger.History, q.User = "nobody of the data", history(c.rank.Dataset, q.History), -1
		alone, err := one.Rank(t.Context(), q, places)
		if err != nil {
			t.Fatal(err)
		}
		sameRanks(t, c, ask, r.ID+" by a stranger", stranger, places, alone)
	}
	if len(shown) < 5 || spread < 1000*rounding {
		t.Errorf("%d requests whose candidates lie %v apart tell little", len(shown), spread)
	}
}

// sameRanks compares an answer of /v1/rank with the probabilities of its candidates.
func sameRanks(t *testing.T, c *chain, ask *client.Client, name string, w api.Who, places []int32, want []float64) {
	t.Helper()
	ids, by := make([]string, len(places)), map[string]float64{}
	for i, p := range places {
		ids[i] = c.rank.Dataset.Places[p].ID
		by[ids[i]] = want[i]
	}
	got, err := ask.Rank(t.Context(), api.RankRequest{Who: w, Candidates: ids})
	if err != nil || len(got.Places) != len(ids) {
		t.Fatalf("request %s: %+v (%v), want %d places", name, got, err, len(ids))
	}
	for i, p := range got.Places {
		x, asked := by[p.POI]
		delete(by, p.POI)
		if !asked || p.Source != "rank" || p.Rank != i+1 || math.Abs(p.Probability-x) > rounding || i > 0 && p.Probability > got.Places[i-1].Probability {
			t.Errorf("request %s, answer %d: %+v, in process %v (asked for: %v)", name, i, p, x, asked)
		}
	}
}

// chainEmbeds compares /v1/embed and /v1/similar with the vectors that are exported.
func chainEmbeds(t *testing.T, c *chain, ask *client.Client) {
	places, err := vector.Load(c.at("vectors/" + placeVectors + vector.ExtParquet))
	if err != nil {
		t.Fatal(err)
	}
	users, err := vector.Load(c.at("vectors/" + userVectors + vector.ExtParquet))
	if err != nil {
		t.Fatal(err)
	}
	got, err := ask.Embed(t.Context(), api.EmbedRequest{POIs: places.IDs})
	if err != nil || len(got.POIs) != len(places.IDs) || got.User != nil {
		t.Fatalf("%d vectors of places (%v), want %d and none of a person", len(got.POIs), err, len(places.IDs))
	}
	for i, id := range places.IDs {
		sameVector(t, id, got.POIs[id], places.Row(i))
	}
	last := map[string]*poi.Request{} // the moments of exported users
	for i := range c.embed.Feed.Requests {
		r := &c.embed.Feed.Requests[i]
		last[c.embed.Dataset.Users[r.User].ID] = r
	}
	if len(last) < 20 {
		t.Fatalf("only %d people were shown anything", len(last))
	}
	for i, id := range users.IDs {
		if r := last[id]; r != nil {
			got, err := ask.Embed(t.Context(), api.EmbedRequest{Who: c.who(r)})
			if err != nil || got.Dim != users.Dim {
				t.Fatalf("%s: %+v (%v)", id, got, err)
			}
			sameVector(t, id, got.User, users.Row(i))
		}
	}
	chainAlike(t, c, ask, places)
}

func sameVector(t *testing.T, id string, got, want []float32) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("the vector of %s has %d numbers, exported %d", id, len(got), len(want))
	}
	if n := dot(got, got); math.Abs(n-1) > rounding {
		t.Errorf("the vector of %s has the length %v", id, math.Sqrt(n))
	}
	for k := range got {
		if math.Abs(float64(got[k]-want[k])) > rounding {
			t.Errorf("the vector of %s is %v, exported %v", id, got, want)
			return
		}
	}
}

func dot(a, b []float32) (sum float64) {
	for k := range a {
		sum += float64(a[k]) * float64(b[k])
	}
	return sum
}

// chainAlike compares /v1/similar with all cosines of the exported vectors, in an area
// and without one.
func chainAlike(t *testing.T, c *chain, ask *client.Client, set *vector.Set) {
	const radius = 2500.0
	found := 0
	for _, of := range []int{0, 7, 31, 100, len(set.IDs) - 1} {
		for _, area := range []*api.Area{nil, {RadiusM: radius}} {
			var want []int
			cosine := make([]float64, len(set.IDs))
			for i := range set.IDs {
				cosine[i] = dot(set.Row(of), set.Row(i))
				if i != of && (area == nil || geo.Metres(set.Lat[of], set.Lng[of], set.Lat[i], set.Lng[i]) <= radius) {
					want = append(want, i)
				}
			}
			slices.SortStableFunc(want, func(a, b int) int { return cmp.Compare(cosine[b], cosine[a]) })
			want = want[:min(10, len(want))]
			got, err := ask.Similar(t.Context(), api.SimilarRequest{POI: set.IDs[of], K: 10, Area: area})
			if err != nil || len(got.Places) != len(want) {
				t.Fatalf("like %s in %+v: %+v (%v), want %d places", set.IDs[of], area, got, err, len(want))
			}
			for i, p := range got.Places {
				at := slices.Index(set.IDs, p.POI)
				if math.Abs(p.Score-cosine[at]) > rounding || at != want[i] && math.Abs(cosine[at]-cosine[want[i]]) > rounding {
					t.Errorf("like %s in %+v, answer %d: %+v, want %s with %v", set.IDs[of], area, i, p, set.IDs[want[i]], cosine[want[i]])
				}
			}
			found += len(want)
		}
	}
	if found < 60 {
		t.Errorf("only %d places are alike", found)
	}
}

// chainRefused starts services with runs that do not belong together.
func chainRefused(t *testing.T, c *chain) {
	rank := testkit.WriteFile(t, "rank.yaml", tinyRank)
	// Bases of the same places in other blocks, and of the same blocks with other questions.
	for name, set := range map[string]string{"blocks": "data.index.block_km=3", "questions": "data.protocol=every-checkin"} {
		line := fmt.Sprintf("pretrain quickstart --data @/city --out @/%s", name)
		if _, stderr, status := at(t, c.dir, line, append(tiny(), "--set", set)...); status != 0 {
			t.Fatalf("%s: status %d: %s", line, status, stderr)
		}
		all(t, c.dir, fmt.Sprintf("finetune rank %s --from @/%s --out @/%s-rank", rank, name, name))
	}
	for flags, want := range map[string]string{
		"--rank-run @/blocks-rank":    "blocks-rank has index",
		"--rank-run @/questions-rank": "questions-rank was made from data",
		"--rank-run @/embed":          "embed is a run of `finetune embed`",
		"--embed-run @/rank":          "rank is a run of `finetune rank`",
		"--embed-run @/run":           "run is a run of `pretrain`",
		"--rank-run @/nothing":        "nothing",
	} {
		said, status := refused(t, append([]string{c.at("run"), "--store", "sqlite:" + c.at("refused.db")}, strings.Fields(strings.ReplaceAll(flags, "@", c.dir))...)...)
		if status != 1 || !strings.Contains(said, want) {
			t.Errorf("serve with %s: status %d, want 1 and %q in:\n%s", flags, status, want, said)
		}
	}
}

// refused runs a service that should not come up, and ends it if it does.
func refused(t *testing.T, args ...string) (stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	w := &watched{up: cancel}
	status = execute(ctx, append([]string{"serve", "--backend", "go", "--listen", "127.0.0.1:0", "--admin-listen", "", "--drain-delay", "0"}, args...), io.Discard, w)
	return w.String(), status
}

// watched is a standard error that tells when a service is ready.
type watched struct {
	lines
	up func()
}

func (w *watched) Write(p []byte) (int, error) {
	if ready.Match(p) {
		w.up()
	}
	return w.lines.Write(p)
}
