package training

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/whereto/whereto/run"
)

// openRecords drops what metrics.jsonl says of steps after the resumed one and
// opens the TensorBoard view of it.
func (l *loop) openRecords() error {
	pending := l.state.Batch > 0 && l.state.Epoch < l.cfg.Epochs && l.state.Batch == l.Batches.Steps(l.state.Epoch)
	keep := func(r run.Record) bool {
		return r.Step < l.state.Step || (r.Step == l.state.Step && l.state.Step > 0 && (r.Kind == "train" || !pending))
	}
	if err := l.Run.KeepMetrics(keep); err != nil {
		return err
	}
	recipe, err := l.Run.ReadFile(run.RecipeFile)
	if err != nil {
		return err
	}
	l.board, err = openTensorBoard(l.Run, string(recipe))
	return err
}

// record writes one record of metrics and its TensorBoard scalars.
func (l *loop) record(kind string, values map[string]float64) error {
	if l.Run == nil {
		return nil
	}
	rec := run.Record{Step: l.state.Step, Epoch: l.state.Epoch, Kind: kind, Time: time.Now().UTC(), Values: values}
	if err := l.Run.AppendMetrics(rec); err != nil {
		return err
	}
	return l.board.add(rec)
}

// endEpoch evaluates when due, moves to the next epoch and saves.
func (l *loop) endEpoch(ctx context.Context) error {
	final := l.state.Step >= l.total || l.state.Epoch+1 >= l.cfg.Epochs
	due := final || (l.cfg.EvalEvery > 0 && (l.state.Epoch+1)%l.cfg.EvalEvery == 0)
	if l.Validate != nil && due {
		if ctx.Err() != nil {
			return l.interrupted(ctx)
		}
		if err := l.evaluate(ctx); err != nil {
			if ctx.Err() != nil {
				return l.interrupted(ctx)
			}
			return err
		}
	}
	if l.state.LossWeight > 0 {
		if err := l.record("epoch", map[string]float64{"loss": l.state.LossSum / l.state.LossWeight}); err != nil {
			return err
		}
	}
	l.state.Epoch, l.state.Batch = l.state.Epoch+1, 0
	l.state.LossSum, l.state.LossWeight = 0, 0
	l.result.StoppedEarly = l.exhausted() && !final
	return l.saveLast()
}

// exhausted reports whether patience has run out.
func (l *loop) exhausted() bool { return l.cfg.Patience > 0 && l.state.WithoutGain >= l.cfg.Patience }

// evaluate runs Validate, with the averaged weights if there are any, and keeps
// the best.
func (l *loop) evaluate(ctx context.Context) (err error) {
	start := time.Now()
	if l.cfg.EMADecay > 0 {
		if err := swapAverage(l.Store); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, swapAverage(l.Store)) }()
	}
	values, err := l.Validate(ctx, l.Store)
	if err != nil {
		return fmt.Errorf("validate after epoch %d: %w", l.state.Epoch, err)
	}
	value, ok := values[l.cfg.KeepBest]
	if !ok || !isFinite(value) {
		return fmt.Errorf("validate after epoch %d: metric %q (keep_best) is absent or not finite; there are: %s: %w",
			l.state.Epoch, l.cfg.KeepBest, strings.Join(sortedNames(values), ", "), ErrBadConfig)
	}
	if err := l.record("validation", values); err != nil {
		return err
	}
	best := l.state.Best
	gain := best == nil || value > best.Value
	if l.cfg.LowerIsBetter {
		gain = best == nil || value < best.Value
	}
	l.state.WithoutGain++
	mark := ""
	if gain {
		l.state.WithoutGain, mark = 0, " (best)"
		l.state.Best = &run.Choice{Metric: l.cfg.KeepBest, Value: value, Epoch: l.state.Epoch, Step: l.state.Step, All: values}
		l.result.Best = l.state.Best
		if l.Run != nil {
			if err := l.Run.SaveCheckpoint(run.Best, l.Store, l.state, IsModelPath); err != nil {
				return err
			}
		}
	}
	l.show.note("epoch %d: loss %.4f, %s %.4f%s, validation took %.1fs", l.state.Epoch+1, l.state.LossSum/max(l.state.LossWeight, 1e-300), l.cfg.KeepBest, value, mark, seconds(start))
	return nil
}

// saveLast writes the checkpoint to resume from.
func (l *loop) saveLast() error {
	l.savedAt = time.Now()
	if l.Run == nil {
		return nil
	}
	return l.Run.SaveCheckpoint(run.Last, l.Store, l.state, persistent)
}

// interrupted saves and returns ErrInterrupted, or why it could not save.
func (l *loop) interrupted(ctx context.Context) error {
	if err := l.saveLast(); err != nil {
		return errors.Join(fmt.Errorf("step %d of %d: %w", l.state.Step, l.total, ErrInterrupted), err)
	}
	where := "nothing was kept, there is no run folder"
	if l.Run != nil {
		where = fmt.Sprintf("saved %s; continue with --resume auto", l.Run.Path(run.CheckpointsDir, run.Last))
	}
	return fmt.Errorf("step %d of %d (%v): %w; %s", l.state.Step, l.total, context.Cause(ctx), ErrInterrupted, where)
}
