package training

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/gomlx/compute"
)

// Config is the training section of a recipe.
type Config struct {
	Seed              int64              `yaml:"seed"`
	Epochs            int                `yaml:"epochs"`
	MaxSteps          int                `yaml:"max_steps"` // 0: no limit besides Epochs
	LR                float64            `yaml:"lr"`        // after warm-up
	MinLR             float64            `yaml:"min_lr"`    // at the last step
	Warmup            int                `yaml:"warmup_steps"`
	Decay             float64            `yaml:"weight_decay"` // decoupled; never on vectors and scalars
	NoDecay           []string           `yaml:"no_decay"`     // parts of variable paths without weight decay
	LRScale           map[string]float64 `yaml:"lr_scale"`     // path prefix -> factor on the learning rate; the longest prefix wins
	Beta1             float64            `yaml:"beta1"`
	Beta2             float64            `yaml:"beta2"`
	Eps               float64            `yaml:"eps"`
	ClipNorm          float64            `yaml:"clip_norm"`  // of all gradients together; 0: off
	Update            string             `yaml:"update"`     // where AdamW runs: "graph", "host", or "auto": host if Go reaches the backend's buffers
	Accumulate        int                `yaml:"accumulate"` // batches a step
	EMADecay          float64            `yaml:"ema_decay"`  // 0: off; else validation and "best" use the average
	EvalEvery         int                `yaml:"eval_every"` // epochs; 0: only at the end
	Patience          int                `yaml:"patience"`   // evaluations without gain before the end; 0: off
	KeepBest          string             `yaml:"keep_best"`  // metric that chooses "best"
	LowerIsBetter     bool               `yaml:"lower_is_better"`
	CheckpointMinutes float64            `yaml:"checkpoint_minutes"` // 0: off
	CheckpointSteps   int                `yaml:"checkpoint_steps"`   // 0: off; each epoch ends with one anyway
	LogEvery          int                `yaml:"log_every"`          // steps a record of the training loss
	Prefetch          int                `yaml:"prefetch"`           // batches made ahead
}

// Defaults returns the settings a recipe starts from.
func Defaults() Config {
	return Config{Seed: 1, Epochs: 10, LR: 1e-3, MinLR: 1e-4, Warmup: 250, Decay: 0.01, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8,
		ClipNorm: 1, Update: "auto", Accumulate: 1, EvalEvery: 1, KeepBest: "acc@1", CheckpointMinutes: 5, LogEvery: 20, Prefetch: 4}
}

// Check returns ErrBadConfig for the first setting outside its range.
func (c Config) Check() error {
	for _, r := range []struct {
		name     string
		v        float64
		min, max float64
	}{
		{"epochs", float64(c.Epochs), 1, 1e6}, {"max_steps", float64(c.MaxSteps), 0, 1e12},
		{"lr", c.LR, 0, 10}, {"min_lr", c.MinLR, 0, c.LR}, {"warmup_steps", float64(c.Warmup), 0, 1e9},
		{"weight_decay", c.Decay, 0, 10}, {"beta1", c.Beta1, 0, 0.999999}, {"beta2", c.Beta2, 0, 0.999999999},
		{"eps", c.Eps, 1e-12, 1}, {"clip_norm", c.ClipNorm, 0, 1e9}, {"accumulate", float64(c.Accumulate), 1, 1e6},
		{"ema_decay", c.EMADecay, 0, 0.9999999}, {"eval_every", float64(c.EvalEvery), 0, 1e6},
		{"patience", float64(c.Patience), 0, 1e6}, {"checkpoint_minutes", c.CheckpointMinutes, 0, 1e6},
		{"checkpoint_steps", float64(c.CheckpointSteps), 0, 1e12}, {"log_every", float64(c.LogEvery), 1, 1e9},
		{"prefetch", float64(c.Prefetch), 0, 1024},
	} {
		if !(r.v >= r.min && r.v <= r.max) { // also refuses NaN
			return fmt.Errorf("%s is %v, must be in [%v, %v]: %w", r.name, r.v, r.min, r.max, ErrBadConfig)
		}
	}
	if !slices.Contains([]string{"", "auto", "host", "graph"}, c.Update) {
		return fmt.Errorf("update is %q, must be auto, host or graph: %w", c.Update, ErrBadConfig)
	}
	for prefix, f := range c.LRScale {
		if !(f >= 0 && f <= 1000) {
			return fmt.Errorf("lr_scale of %q is %v, must be in [0, 1000]: %w", prefix, f, ErrBadConfig)
		}
	}
	return nil
}

// onHost reports whether AdamW runs in Go.
func (c Config) onHost(b compute.Backend) bool {
	return c.Update == "host" || (c.Update != "graph" && b.HasSharedBuffers())
}

// Rate returns the learning rate of update number step (from 1) of total: linear
// from 0 to LR over Warmup steps, then half a cosine from LR to MinLR.
func (c Config) Rate(step, total int) float64 {
	if step <= c.Warmup {
		return c.LR * float64(step) / float64(c.Warmup)
	}
	if total <= c.Warmup {
		return c.LR
	}
	done := math.Min(1, float64(step-c.Warmup)/float64(total-c.Warmup))
	return c.MinLR + (c.LR-c.MinLR)*(1+math.Cos(math.Pi*done))/2
}

// emaDecay returns the decay of the averaged weights at update step (from 1). It
// starts at 0, so that the average begins as the weights, and grows to EMADecay.
func (c Config) emaDecay(step int) float64 {
	return math.Min(c.EMADecay, float64(step-1)/float64(step+9))
}

// scaleOf returns the learning-rate factor of the variable at path.
func (c Config) scaleOf(path string) float64 {
	best, scale := -1, 1.0
	for prefix, f := range c.LRScale {
		p := "/" + strings.Trim(prefix, "/")
		if len(p) > best && (path == p || p == "/" || strings.HasPrefix(path, p+"/")) {
			best, scale = len(p), f
		}
	}
	return scale
}

// decayOf returns the weight decay of a variable of the given rank.
func (c Config) decayOf(path string, rank int) float64 {
	if rank < 2 {
		return 0
	}
	for _, part := range c.NoDecay {
		if strings.Contains(path, part) {
			return 0
		}
	}
	return c.Decay
}

// noiseSeed returns the noise of a batch, a whole number in [0, 2^24): float32
// holds those exactly. SplitMix64 over the position keeps neighbours unrelated.
func noiseSeed(seed int64, epoch, batch int) float32 {
	x := uint64(seed)
	for _, v := range []uint64{uint64(epoch), uint64(batch)} {
		x += 0x9e3779b97f4a7c15 * (v + 1)
		x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
		x = (x ^ x>>27) * 0x94d049bb133111eb
		x ^= x >> 31
	}
	return float32(x >> 40)
}

// totalSteps counts the updates of the whole run.
func (c Config) totalSteps(b Batches) int {
	total := 0
	for e := range c.Epochs {
		total += (b.Steps(e) + c.Accumulate - 1) / c.Accumulate
		if c.MaxSteps > 0 && total >= c.MaxSteps {
			return c.MaxSteps
		}
	}
	return total
}
