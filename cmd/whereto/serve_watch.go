package main

import (
	"context"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/desk"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/telemetry"
)

// watch turns what a service does into metrics.
type watch struct {
	m      *telemetry.Metrics
	models func() map[string]recommend.Stats // by version
	before recommend.Stats                   // sums at the last look
}

func newWatch(m *telemetry.Metrics) *watch { return &watch{m: m} }

// stages are the metrics' names of the network's stages.
var stages = map[string]telemetry.Stage{
	recommend.StageEvidence: telemetry.StageEvidence,
	recommend.StageQueue:    telemetry.StageQueue,
	recommend.StagePrefill:  telemetry.StagePrefill,
	recommend.StageDecode:   telemetry.StageDecode,
	recommend.StageSearch:   telemetry.StageSearch,
	recommend.StageChoose:   telemetry.StageEncode,
}

func (w *watch) stage(name string, took time.Duration) {
	if s, ok := stages[name]; ok {
		w.m.Took(s, took)
	}
}

// start looks at counts of the models every second until stopped.
func (w *watch) start(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				w.look()
			}
		}
	}()
	return func() { cancel(); <-done }
}

// look adds what was counted since the last look. A model that went takes its counts
// along, so sums may fall; then the new sums count.
func (w *watch) look() {
	var now recommend.Stats
	for _, s := range w.models() {
		now.Pasts, now.Bytes = now.Pasts+s.Pasts, now.Bytes+s.Bytes
		now.Hits, now.Grown, now.Misses, now.Evictions = now.Hits+s.Hits, now.Grown+s.Grown, now.Misses+s.Misses, now.Evictions+s.Evictions
		now.Invalid += s.Invalid
	}
	since := func(now, before int64) int {
		if now < before {
			before = 0
		}
		return int(now - before)
	}
	for range since(now.Hits, w.before.Hits) {
		w.m.KVHit()
	}
	for range since(now.Misses+now.Grown, w.before.Misses+w.before.Grown) {
		w.m.KVMiss()
	}
	w.m.KVEvicted(since(now.Evictions, w.before.Evictions))
	w.m.BeamInvalid(since(now.Invalid, w.before.Invalid))
	w.m.KVHolds(now.Pasts, now.Bytes)
	w.before = now
}

// sources are the metrics' names of where a first place comes from.
var sources = map[string]telemetry.AnswerSource{"copy": telemetry.SourceCopy, "generate": telemetry.SourceGenerate, "cold": telemetry.SourceCold}

// storeOps are the metrics' names of the store's operations.
var storeOps = map[string]telemetry.StoreOp{
	"append": telemetry.StoreAppend, "recent": telemetry.StoreRecent, "actions": telemetry.StoreActions, "users": telemetry.StoreUsers,
	"delete": telemetry.StoreDeleteUser, "counts": telemetry.StoreCount, "upsert": telemetry.StoreWritePOIs, "close": telemetry.StoreWritePOIs,
	"poi": telemetry.StoreReadPOIs, "pois": telemetry.StoreReadPOIs, "follow": telemetry.StoreChanges,
}

// hooks are what a desk tells.
func (w *watch) hooks() desk.Hooks {
	return desk.Hooks{
		Answered: w.answered,
		Acted:    w.m.Acted,
		Forgot:   w.m.Forget,
		FellBack: func(error) { w.m.FellBack(telemetry.FallbackFailed) },
		Shadow:   func(same bool, _ float64) { w.m.ShadowCompared(same) },

		ShadowDropped: w.m.ShadowDropped,
		StoreFailed: func(op string, _ error) {
			if known, ok := storeOps[op]; ok {
				w.m.StoreFailed(known)
			}
		},
		Stored: func(accepted, duplicate, rejected int) {
			w.m.ActionsSent(telemetry.ActionStored, accepted)
			w.m.ActionsSent(telemetry.ActionDuplicate, duplicate)
			w.m.ActionsSent(telemetry.ActionRejected, rejected)
		},
		Loaded: func(m api.Model, err error) {
			state := telemetry.ModelReady
			if err != nil {
				state = telemetry.ModelFailed
			} else {
				w.m.ModelLoaded(time.Duration(m.Seconds * float64(time.Second)))
			}
			w.m.ModelIs(m.Name, m.Version, state)
		},
		Gone: w.m.ModelGone,
	}
}

// lacks are the metrics' names of what a model had to do without.
var lacks = map[desk.Lack]telemetry.Fallback{desk.LackPerson: telemetry.FallbackNewUser, desk.LackPast: telemetry.FallbackEmptyHistory, desk.LackPlaces: telemetry.FallbackUnknownPlaces}

func (w *watch) answered(a desk.Answered) {
	w.m.ModelAnswered(a.Version.Model, a.Version.Variant)
	w.m.Scored(a.Candidates)
	if why, lacks := lacks[a.Lack]; lacks {
		w.m.FellBack(why)
	}
	if len(a.POIs) == 0 {
		w.m.FellBack(telemetry.FallbackEmptyArea)
		return
	}
	age := a.HistoryAge
	if !a.HasHistory {
		age = -1
	}
	source, ok := sources[a.Source]
	if a.Kind == "fallback" || !ok {
		source = telemetry.SourceFallback
	}
	w.m.Recommended(telemetry.Answer{User: a.User, Asked: a.At, POIs: a.POIs, Source: source, Probability: a.Prob, DistanceM: a.DistanceM, HistoryAge: age})
}
