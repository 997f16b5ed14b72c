package index

import (
	"fmt"
	"io"
	"slices"
	"text/tabwriter"
)

// Spread is the least, mean and greatest of some values.
type Spread struct {
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	Max  float64 `json:"max"`
}

// Quantiles are of the number of live places in a block, over the blocks that
// have any; nearest rank.
type Quantiles struct {
	P25 int `json:"p25"`
	P50 int `json:"p50"`
	P75 int `json:"p75"`
	P90 int `json:"p90"`
	P99 int `json:"p99"`
}

// Stats describes an index for `index show`.
type Stats struct {
	Mode        Mode    `json:"mode"`
	BlockKM     float64 `json:"block_km"` // asked for; 0 in flat mode, sets the number of blocks in hash mode
	Fingerprint string  `json:"fingerprint"`
	Places      int     `json:"places"` // live
	Tombstones  int     `json:"tombstones"`
	Blocks      int     `json:"blocks"`       // block vocabulary; 1 in flat mode
	EmptyBlocks int     `json:"empty_blocks"` // of them with tombstones only
	MaxInner    int     `json:"max_inner"`    // inner vocabulary
	Vocabulary  int     `json:"vocabulary"`   // embedding rows for both

	Occupancy Spread    `json:"occupancy"` // live places of a block with any
	Quantiles Quantiles `json:"occupancy_quantiles"`
	// WidthKM and HeightKM are over all blocks, width at the block's middle
	// latitude; zero where blocks are not places, in flat and hash mode.
	WidthKM  Spread `json:"width_km"`
	HeightKM Spread `json:"height_km"`
}

// Stats computes the description. It reads the whole index once.
func (ix *Index) Stats() Stats {
	s := Stats{Mode: ix.Mode, BlockKM: ix.SizeKM, Fingerprint: ix.Fingerprint(),
		Places: ix.live.Len(), Tombstones: len(ix.Places) - ix.live.Len(),
		Blocks: ix.NumBlocks(), EmptyBlocks: ix.NumBlocks() - len(ix.Blocks()),
		MaxInner: ix.MaxInner(), Vocabulary: ix.Vocabulary()}
	var sizes, width, height []float64
	for _, b := range ix.Blocks() {
		sizes = append(sizes, float64(len(ix.Inners(b))))
	}
	for _, key := range ix.keys {
		bounds := ix.Grid().Bounds(key)
		width, height = append(width, bounds.WidthKM()), append(height, bounds.HeightKM())
	}
	s.Occupancy, s.WidthKM, s.HeightKM = spread(sizes), spread(width), spread(height)
	slices.Sort(sizes)
	at := func(percent int) int {
		if len(sizes) == 0 {
			return 0
		}
		return int(sizes[(len(sizes)*percent+99)/100-1]) // nearest rank
	}
	s.Quantiles = Quantiles{P25: at(25), P50: at(50), P75: at(75), P90: at(90), P99: at(99)}
	return s
}

func spread(v []float64) Spread {
	if len(v) == 0 {
		return Spread{}
	}
	sum := 0.0
	for _, x := range v {
		sum += x
	}
	return Spread{Min: slices.Min(v), Mean: sum / float64(len(v)), Max: slices.Max(v)}
}

// WriteText writes the description as an aligned table for a terminal.
func (s Stats) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) { fmt.Fprintf(t, name+"\t"+format+"\n", args...) }
	line("mode", "%s", s.Mode)
	line("fingerprint", "%s", s.Fingerprint)
	line("places", "%d live, %d tombstones", s.Places, s.Tombstones)
	if s.Mode == Flat {
		line("vocabulary", "%d tokens, one a place", s.Vocabulary)
		return t.Flush()
	}
	line("vocabulary", "%d = %d blocks + %d inner", s.Vocabulary, s.Blocks, s.MaxInner)
	line("blocks", "%d in use, %d with tombstones only", s.Blocks-s.EmptyBlocks, s.EmptyBlocks)
	q := s.Quantiles
	line("places a block", "min %.0f, p25 %d, median %d, p75 %d, p90 %d, p99 %d, max %.0f, mean %.1f",
		s.Occupancy.Min, q.P25, q.P50, q.P75, q.P90, q.P99, s.Occupancy.Max, s.Occupancy.Mean)
	if s.Mode == Hash {
		line("blocks are", "ranges of a hash of the id, not places; as many as a grid of %g km had at the first build", s.BlockKM)
		return t.Flush()
	}
	line("block size asked", "%g km", s.BlockKM)
	line("block width", "min %.3f, mean %.3f, max %.3f km", s.WidthKM.Min, s.WidthKM.Mean, s.WidthKM.Max)
	line("block height", "min %.3f, mean %.3f, max %.3f km", s.HeightKM.Min, s.HeightKM.Mean, s.HeightKM.Max)
	return t.Flush()
}
