package run

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"time"
)

// Record is one line of metrics.jsonl.
type Record struct {
	Step   int                `json:"step"`  // optimiser updates done
	Epoch  int                `json:"epoch"` // from 0
	Kind   string             `json:"kind"`  // "train", "validation", ...
	Time   time.Time          `json:"time"`
	Values map[string]float64 `json:"values"`
}

const maxMetricsLine = 1 << 20

// AppendMetrics writes one record and waits until it is on disk. Values that are
// not finite are refused: JSON has no name for them. A torn last line, left by a
// crash, is cut off first.
func (r *Run) AppendMetrics(rec Record) error {
	for name, v := range rec.Values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return fmt.Errorf("append to %s: %s is %v at step %d; only finite values are recorded", r.Path(MetricsFile), name, v, rec.Step)
		}
	}
	if rec.Time.IsZero() {
		rec.Time = time.Now().UTC()
	}
	line, err := json.Marshal(rec)
	if err != nil {
		return fmt.Errorf("append to %s: %w", r.Path(MetricsFile), err)
	}
	if err := r.openMetrics(); err != nil {
		return err
	}
	if _, err := r.metrics.Write(append(line, '\n')); err != nil {
		return fmt.Errorf("append to %s: %w", r.Path(MetricsFile), err)
	}
	if err := r.metrics.Sync(); err != nil {
		return fmt.Errorf("append to %s: %w", r.Path(MetricsFile), err)
	}
	return nil
}

func (r *Run) openMetrics() error {
	if r.metrics != nil {
		return nil
	}
	path := r.Path(MetricsFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	end, err := lastLineEnd(f)
	if err == nil {
		err = f.Truncate(end)
	}
	if err == nil {
		_, err = f.Seek(end, io.SeekStart)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("open %s: %w", path, err), f.Close())
	}
	r.metrics = f
	return nil
}

// lastLineEnd returns the offset after the last newline.
func lastLineEnd(f *os.File) (int64, error) {
	info, err := f.Stat()
	if err != nil {
		return 0, err
	}
	buf := make([]byte, 4096)
	for end := info.Size(); end > 0; {
		start := max(0, end-int64(len(buf)))
		part := buf[:end-start]
		if _, err := f.ReadAt(part, start); err != nil {
			return 0, err
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			return start + int64(i) + 1, nil
		}
		end = start
	}
	return 0, nil
}

// ReadMetrics returns all records in order; none if the file is absent. A last
// line without newline is a torn write and is left out; any other bad line is
// ErrCorrupt with its number.
func (r *Run) ReadMetrics() ([]Record, error) {
	f, err := os.Open(r.Path(MetricsFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read metrics: %w", err)
	}
	defer f.Close()
	records, err := decodeMetrics(f)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", r.Path(MetricsFile), err)
	}
	return records, nil
}

func decodeMetrics(in io.Reader) ([]Record, error) {
	var out []Record
	br := bufio.NewReaderSize(in, 1<<16)
	for n := 1; ; n++ {
		line, err := readLine(br)
		if errors.Is(err, io.EOF) {
			return out, nil // whatever is left has no newline: torn
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		var rec Record
		if err := json.Unmarshal(line, &rec); err != nil {
			return nil, fmt.Errorf("line %d: %w: %v; remove the line", n, ErrCorrupt, err)
		}
		out = append(out, rec)
	}
}

// readLine returns a line without its newline, of at most maxMetricsLine bytes.
func readLine(br *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := br.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxMetricsLine {
			return nil, fmt.Errorf("longer than %d bytes: %w", maxMetricsLine, ErrCorrupt)
		}
		if err == nil {
			return line[:len(line)-1], nil
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return nil, err
		}
	}
}

// KeepMetrics rewrites metrics.jsonl with only the records keep accepts: a
// resumed run drops what lies after the checkpoint it starts from.
func (r *Run) KeepMetrics(keep func(Record) bool) error {
	records, err := r.ReadMetrics()
	if err != nil {
		return err
	}
	if r.metrics != nil {
		if err := r.metrics.Close(); err != nil {
			return fmt.Errorf("rewrite %s: %w", r.Path(MetricsFile), err)
		}
		r.metrics = nil
	}
	return r.WriteTo(MetricsFile, func(w io.Writer) error {
		for _, rec := range records {
			if !keep(rec) {
				continue
			}
			line, err := json.Marshal(rec)
			if err != nil {
				return err
			}
			if _, err := w.Write(append(line, '\n')); err != nil {
				return err
			}
		}
		return nil
	})
}
