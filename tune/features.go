package tune

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/gomlx/compute"

	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/ranker"
	"github.com/whereto/whereto/spacetime"
)

// featuresFile keeps in a run folder what its stage says of a feed, because several
// click models ask and each asks again when it is measured.
const featuresFile = "features.gob"

// said is what a stage says of all options of a feed: of the rank stage logits and,
// with tune.interest, the part of them that knows likings; of the embed stage vectors
// of requests and of places. Key names the weights and the feed.
type said struct {
	Key   string
	Lists [][]float32
}

// features adds to extra what the runs say of every option of the feed.
func (v voices) features(ctx context.Context, feed *poi.Feed, extra *ranker.Extra, backend compute.Backend, say pipeline.Progress) error {
	said := make([][][]float32, len(v))
	for i, t := range v {
		var err error
		if said[i], err = t.told(ctx, feed, backend, say); err != nil {
			return fmt.Errorf("features of %s: %w", t.Base.Run.Dir(), err)
		}
	}
	t, lists := v[0], v.join(feed, said)
	name := t.Recipe.Name
	if t.Stage.Tune.Stage == spacetime.StageEmbed {
		return extra.AddVectors(name, rows(lists[0], t.Stage.Tune.Dim), rows(lists[1], t.Stage.Tune.Dim), true)
	}
	for i, suffix := range []string{"", " liking"}[:len(lists)] {
		scores, at := room(pointers(feed)), 0
		for _, row := range scores {
			for c := range row {
				row[c], at = float64(lists[i][at]), at+1
			}
		}
		if err := extra.AddScores(name+suffix, scores); err != nil {
			return err
		}
	}
	return nil
}

// told returns what was said before of this feed with these weights, or asks.
func (t *Trained) told(ctx context.Context, feed *poi.Feed, backend compute.Backend, say pipeline.Progress) ([][]float32, error) {
	if say == nil {
		say = func(string) {}
	}
	key, err := t.key(feed)
	if err != nil {
		return nil, err
	}
	where := t.Base.Run.Path(featuresFile)
	switch old, err := readSaid(where); {
	case err == nil && old.Key == key:
		say("features from " + where)
		return old.Lists, nil
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		say(fmt.Sprintf("%s cannot be read, its features are computed again: %v", where, err))
	}
	say(fmt.Sprintf("features of %s for %d requests", t.Base.Run.Dir(), len(feed.Requests)))
	lists, err := t.ask(ctx, pointers(feed), backend)
	if err != nil {
		return nil, err
	}
	err = t.Base.Run.WriteTo(featuresFile, func(w io.Writer) error { return gob.NewEncoder(w).Encode(said{key, lists}) })
	if err != nil {
		say(fmt.Sprintf("the features will be computed again next time: %v", err))
	}
	return lists, nil
}

func readSaid(path string) (out said, err error) {
	f, err := os.Open(path)
	if err != nil {
		return said{}, err
	}
	defer f.Close()
	err = gob.NewDecoder(bufio.NewReader(f)).Decode(&out)
	return out, err
}

// key names weights, recipe and feed.
func (t *Trained) key(feed *poi.Feed) (string, error) {
	text, err := json.Marshal(struct {
		State, Meta any
		Feed        string
	}{t.Base.State, t.Base.Run.Meta(), feed.Fingerprint})
	if err != nil {
		return "", fmt.Errorf("name the features of %s: %w", t.Base.Run.Dir(), err)
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:]), nil
}

// ask computes what the stage says of requests.
func (t *Trained) ask(ctx context.Context, requests []*poi.Request, backend compute.Backend) ([][]float32, error) {
	if t.Stage.Tune.Stage == spacetime.StageEmbed {
		towers, err := t.Towers(t.Recipe.Name, backend, t.Store)
		if err != nil {
			return nil, err
		}
		users, err := towers.Users(ctx, requests)
		if err != nil {
			return nil, err
		}
		places, err := towers.Places(ctx)
		return [][]float32{users, places}, err
	}
	s, err := t.scorer(t.Recipe.Name, backend, t.Store)
	if err != nil {
		return nil, err
	}
	dst := [][][]float64{room(requests)}
	if t.Stage.Tune.Stage == spacetime.StageRank && t.Stage.Tune.Interest > 0 {
		dst = append(dst, room(requests))
	}
	if err := s.parts(ctx, requests, dst...); err != nil {
		return nil, err
	}
	lists := make([][]float32, len(dst))
	for k, scores := range dst {
		for _, row := range scores {
			for _, x := range row {
				lists[k] = append(lists[k], float32(x))
			}
		}
	}
	return lists, nil
}

// pointers lists the requests of a feed.
func pointers(feed *poi.Feed) []*poi.Request {
	out := make([]*poi.Request, len(feed.Requests))
	for i := range out {
		out[i] = &feed.Requests[i]
	}
	return out
}

// rows cuts a flat matrix into its rows.
func rows(flat []float32, width int) [][]float32 {
	out := make([][]float32, len(flat)/width)
	for i := range out {
		out[i] = flat[i*width : (i+1)*width : (i+1)*width]
	}
	return out
}
