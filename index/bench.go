package index

import (
	"fmt"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

// BenchRow is what building an index of N synthetic places took.
type BenchRow struct {
	N          int     `json:"places"`
	Seconds    float64 `json:"build_seconds"`
	PeakBytes  uint64  `json:"peak_bytes"`  // most memory held from the system while building, input included
	InputBytes uint64  `json:"input_bytes"` // heap after making the places, before the build
	HeapBytes  uint64  `json:"heap_bytes"`  // heap after the build, places included
	Blocks     int     `json:"blocks"`
	MaxInner   int     `json:"max_inner"`
	Vocabulary int     `json:"vocabulary"`
}

// BenchBuild builds a hierarchical index with default options over n synthetic
// places for each n of ns, one after the other. Peak memory is sampled every 5 ms
// and covers the whole process, so run it alone.
func BenchBuild(ns []int) ([]BenchRow, error) {
	rows := make([]BenchRow, 0, len(ns))
	for _, n := range ns {
		row, err := benchBuild(n)
		if err != nil {
			return rows, fmt.Errorf("bench of %d places: %w", n, err)
		}
		rows = append(rows, row)
	}
	return rows, nil
}

func benchBuild(n int) (BenchRow, error) {
	places, visits := Synthetic(n, 1)
	debug.FreeOSMemory() // also collects, so that rows do not see each other
	row := BenchRow{N: n, InputBytes: heapBytes()}
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		most := heldBytes()
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
				most = max(most, heldBytes())
			case <-stop:
				peak <- max(most, heldBytes())
				return
			}
		}
	}()
	start := time.Now()
	ix, err := Build(places, visits, DefaultOptions())
	row.Seconds = time.Since(start).Seconds()
	close(stop)
	row.PeakBytes = <-peak
	if err != nil {
		return row, err
	}
	debug.FreeOSMemory()
	row.HeapBytes = heapBytes()
	row.Blocks, row.MaxInner, row.Vocabulary = ix.NumBlocks(), ix.MaxInner(), ix.Vocabulary()
	return row, nil
}

func heapBytes() uint64 { return read("/memory/classes/heap/objects:bytes") }

// heldBytes is what the process holds from the system, about its resident set.
func heldBytes() uint64 {
	return read("/memory/classes/total:bytes") - read("/memory/classes/heap/released:bytes")
}

func read(name string) uint64 {
	s := []metrics.Sample{{Name: name}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}
