package training

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/whereto/whereto/run"
)

// manyShapes is the number of compiled shapes from which a warning is due.
const manyShapes = 32

// loop is the state of one call of Train.
type loop struct {
	Options
	cfg   Config
	step  *stepper
	state run.State
	total int // updates of the whole run
	items <-chan item
	show  *display
	board *tensorBoard

	result  Result
	recent  []float64 // last losses, for error messages
	window  window    // since the last record
	flops   float64   // in timed steps
	savedAt time.Time
}

// window gathers training figures between two records.
type window struct {
	loss, weight float64
	norm         float64
	aux          []float64
	steps        int
}

// Train fits the model. It returns what was reached also with an error, as far
// as it came. See Options and Config; errors wrap ErrInterrupted, ErrNotFinite,
// ErrBadBatch or ErrBadConfig, or come from Batches, Validate and Run.
func Train(ctx context.Context, o Options, cfg Config) (Result, error) {
	if err := cfg.Check(); err != nil {
		return Result{}, fmt.Errorf("train: %w", err)
	}
	if o.Resume && o.Run == nil {
		return Result{}, fmt.Errorf("train: nothing to resume from without a run folder: %w", ErrBadConfig)
	}
	l := &loop{Options: o, cfg: cfg, total: cfg.totalSteps(o.Batches), savedAt: time.Now()}
	l.state = run.State{Seed: cfg.Seed, Backend: o.Backend.Name()}
	start := time.Now()
	err := l.run(ctx)
	l.result.Seconds = seconds(start)
	if l.result.StepSeconds > 0 {
		l.result.TokensPerSecond = float64(l.result.Tokens) / l.result.StepSeconds
		l.result.GFLOPs = l.flops / l.result.StepSeconds / 1e9
	}
	if err != nil {
		return l.result, fmt.Errorf("train: %w", err)
	}
	return l.result, nil
}

func (l *loop) run(ctx context.Context) (err error) {
	if l.total < 1 {
		return fmt.Errorf("%d epochs with %d batches are no step: %w", l.cfg.Epochs, l.Batches.Steps(0), ErrBadBatch)
	}
	if l.step, err = newStepper(l.Options, l.cfg); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.step.close()) }()
	if err := l.begin(ctx); err != nil {
		return err
	}
	if l.show, err = newDisplay(l.Progress, l.total, l.state.Step); err != nil {
		return err
	}
	defer l.show.close()
	l.show.note("%d parameters, %d steps; graph built in %.1fs", Parameters(l.Store), l.total, l.step.firstCompile.Seconds())
	if l.Run != nil {
		if err := l.openRecords(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, l.board.close()) }()
	}
	// Batches are made ahead under a context of their own: a step that has begun
	// is finished after an interrupt.
	ahead, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	l.items = prefetch(ahead, l.Batches, l.state.Epoch, l.state.Batch, l.cfg.Epochs, l.cfg.Prefetch)
	return l.epochs(ctx)
}

// begin builds the graphs with the first batch due and loads a checkpoint.
func (l *loop) begin(ctx context.Context) error {
	var ck *run.Checkpoint
	if l.Resume && l.Run.HasCheckpoint(run.Last) {
		var err error
		if ck, err = l.Run.OpenCheckpoint(run.Last); err != nil {
			return fmt.Errorf("resume: %w", err)
		}
		defer ck.Close()
		if err := l.adopt(ck.State); err != nil {
			return fmt.Errorf("resume %s: %w", l.Run.Dir(), err)
		}
	}
	epoch := min(l.state.Epoch, l.cfg.Epochs-1)
	first, err := l.Batches.Batch(ctx, epoch, min(l.state.Batch, l.Batches.Steps(epoch)-1))
	if err != nil {
		return fmt.Errorf("first batch: %w", err)
	}
	if err := l.step.prepare(first); err != nil {
		return err
	}
	if ck != nil {
		return ck.Load(l.Store, persistent)
	}
	return nil
}

// persistent says which variables a checkpoint to resume from holds.
func persistent(path string) bool {
	return len(path) < len(sumScope) || path[:len(sumScope)] != sumScope
}

// adopt takes over the position of a checkpoint.
func (l *loop) adopt(s run.State) error {
	if s.Seed != l.cfg.Seed {
		return fmt.Errorf("the checkpoint has seed %d, the recipe %d: %w; use the recipe in the run folder", s.Seed, l.cfg.Seed, run.ErrMismatch)
	}
	if s.Epoch < 0 || s.Epoch > l.cfg.Epochs || s.Batch < 0 || (s.Epoch < l.cfg.Epochs && s.Batch > l.Batches.Steps(s.Epoch)) {
		return fmt.Errorf("the checkpoint is at epoch %d, batch %d, beyond %d epochs of the recipe: %w", s.Epoch, s.Batch, l.cfg.Epochs, run.ErrMismatch)
	}
	s.Backend = l.Backend.Name()
	l.state = s
	l.result.StoppedEarly = l.exhausted()
	l.result.ResumedAt, l.result.Steps, l.result.Best, l.result.Epochs = s.Step, s.Step, s.Best, s.Epoch
	return nil
}

// epochs runs from the current position to the end.
func (l *loop) epochs(ctx context.Context) error {
	for l.state.Epoch < l.cfg.Epochs && !l.result.StoppedEarly && (l.state.Step < l.total || l.state.Batch > 0) {
		l.result.Epochs = l.state.Epoch + 1
		n := l.Batches.Steps(l.state.Epoch)
		for l.state.Batch < n && l.state.Step < l.total {
			if ctx.Err() != nil {
				return l.interrupted(ctx)
			}
			if err := l.oneStep(n); err != nil {
				return err
			}
		}
		if err := l.endEpoch(ctx); err != nil {
			return err
		}
	}
	return nil
}

// oneStep runs up to Accumulate batches and one update.
func (l *loop) oneStep(n int) error {
	start, number := time.Now(), l.state.Step+1
	var weight, loss float64
	var out outcome
	var compiled time.Duration
	used, tokens, flops := 0, 0, 0.0
	for ; used < l.cfg.Accumulate && l.state.Batch+used < n; used++ {
		index := l.state.Batch + used
		b, err := next(l.items, l.state.Epoch, index)
		if err != nil {
			return err
		}
		noise := noiseSeed(l.cfg.Seed, l.state.Epoch, index)
		if out, err = l.step.batch(b, l.step.at(number, l.total, noise, b.Weight)); err != nil {
			return fmt.Errorf("epoch %d, batch %d: %w", l.state.Epoch, index, err)
		}
		if !isFinite(out.loss) {
			return l.notFinite(index, out)
		}
		weight, loss = weight+b.Weight, loss+b.Weight*out.loss
		tokens, flops, compiled = tokens+b.Tokens, flops+out.flops, compiled+out.compiled
		l.window.addAux(out.aux, b.Weight)
	}
	if l.step.separate() {
		var err error
		if out.norm, err = l.step.update(l.step.at(number, l.total, 0, 1/weight)); err != nil {
			return fmt.Errorf("epoch %d, batches %d to %d: %w", l.state.Epoch, l.state.Batch, l.state.Batch+used-1, err)
		}
	}
	if !isFinite(out.norm) {
		return l.notFinite(l.state.Batch+used-1, out)
	}
	l.state.Step, l.state.Batch = number, l.state.Batch+used
	l.state.LossSum, l.state.LossWeight = l.state.LossSum+loss, l.state.LossWeight+weight
	l.noteShapes(compiled)
	if compiled == 0 { // a step with a compilation would spoil the speed
		l.result.StepSeconds += seconds(start)
		l.result.Tokens += tokens
		l.flops += flops
	}
	return l.after(loss, weight, out.norm)
}

// after records a finished step and saves when it is time.
func (l *loop) after(loss, weight, norm float64) error {
	mean := loss / weight
	l.recent = append(l.recent[max(0, len(l.recent)-7):], mean)
	l.result.Steps, l.result.LastLoss = l.state.Step, mean
	l.window.loss, l.window.weight = l.window.loss+loss, l.window.weight+weight
	l.window.norm += norm
	l.window.steps++
	s := status{Step: l.state.Step, Steps: l.total, Epoch: l.state.Epoch, Epochs: l.cfg.Epochs, Loss: mean, Rate: l.cfg.Rate(l.state.Step, l.total)}
	if done := l.state.Step - l.result.ResumedAt; l.result.StepSeconds > 0 {
		s.TokensPerSec = float64(l.result.Tokens) / l.result.StepSeconds
		s.SecondsToGo = l.result.StepSeconds / float64(done) * float64(l.total-l.state.Step)
	}
	l.show.show(s)
	if l.state.Step%l.cfg.LogEvery == 0 {
		if err := l.record("train", l.window.values(l.Model.AuxNames(), l.cfg.Rate(l.state.Step, l.total))); err != nil {
			return err
		}
		l.window = window{}
	}
	due := l.cfg.CheckpointSteps > 0 && l.state.Step%l.cfg.CheckpointSteps == 0
	due = due || (l.cfg.CheckpointMinutes > 0 && time.Since(l.savedAt).Minutes() >= l.cfg.CheckpointMinutes)
	if due {
		return l.saveLast()
	}
	return nil
}

func (w *window) addAux(aux []float64, weight float64) {
	if w.aux == nil {
		w.aux = make([]float64, len(aux))
	}
	for i, v := range aux {
		w.aux[i] += v * weight
	}
}

// values returns the means of the window by name.
func (w *window) values(names []string, rate float64) map[string]float64 {
	v := map[string]float64{"loss": w.loss / w.weight, "grad_norm": w.norm / float64(w.steps), "lr": rate}
	for i, name := range names {
		v[name] = w.aux[i] / w.weight
	}
	return v
}

func isFinite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }

// notFinite builds the error of a bad step; the weights are as before it.
func (l *loop) notFinite(index int, out outcome) error {
	return fmt.Errorf("epoch %d, step %d, batch %d: loss %v, gradient norm %v: %w; losses before: %.4g; the weights were left as before this step and checkpoints are untouched: lower lr, set clip_norm, or look at that batch",
		l.state.Epoch, l.state.Step+1, index, out.loss, out.norm, ErrNotFinite, l.recent)
}

// noteShapes tells of compilations.
func (l *loop) noteShapes(compiled time.Duration) {
	l.result.Compilations = len(l.step.costs)
	if compiled == 0 {
		return
	}
	l.show.note("compiled shape %d of batch in %.1fs", l.result.Compilations, compiled.Seconds())
	if l.result.Compilations == manyShapes+1 {
		l.show.note("warning: more than %d shapes were compiled; use fewer length buckets", manyShapes)
	}
}

// sortedNames returns the keys of m in order.
func sortedNames(m map[string]float64) []string {
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
