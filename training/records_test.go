package training

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/whereto/whereto/run"
)

// readFrames decodes TFRecords, checking both checksums.
func readFrames(data []byte) ([][]byte, error) {
	unmask := func(m uint32) uint32 { r := m - 0xa282ead8; return r>>17 | r<<15 }
	var out [][]byte
	for len(data) > 0 {
		if len(data) < 12 {
			return nil, io.ErrUnexpectedEOF
		}
		n := binary.LittleEndian.Uint64(data)
		if unmask(binary.LittleEndian.Uint32(data[8:])) != crc32.Checksum(data[:8], castagnoli) {
			return nil, fmt.Errorf("bad checksum of a length")
		}
		if uint64(len(data)) < 16+n {
			return nil, io.ErrUnexpectedEOF
		}
		body := data[12 : 12+n]
		if unmask(binary.LittleEndian.Uint32(data[12+n:])) != crc32.Checksum(body, castagnoli) {
			return nil, fmt.Errorf("bad checksum of data")
		}
		out, data = append(out, body), data[16+n:]
	}
	return out, nil
}

// fields splits a message in its fields.
func fields(t *testing.T, msg []byte) map[protowire.Number][][]byte {
	t.Helper()
	out := map[protowire.Number][][]byte{}
	for len(msg) > 0 {
		num, typ, n := protowire.ConsumeTag(msg)
		if n < 0 {
			t.Fatalf("bad tag: %v", protowire.ParseError(n))
		}
		size := protowire.ConsumeFieldValue(num, typ, msg[n:])
		if size < 0 {
			t.Fatalf("bad field %d: %v", num, protowire.ParseError(size))
		}
		value := msg[n : n+size]
		if typ == protowire.BytesType {
			value, _ = protowire.ConsumeBytes(value)
		}
		out[num] = append(out[num], value)
		msg = msg[n+size:]
	}
	return out
}

// eventFiles returns the event files of a run.
func eventFiles(t *testing.T, r *run.Run) []string {
	t.Helper()
	list, err := filepath.Glob(r.Path(run.TensorBoardDir, "events.out.tfevents.*"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// The event file holds the version, the recipe and every number of metrics.jsonl.
func TestTensorBoardHoldsMetrics(t *testing.T) {
	o, cfg := toyOptions(goBackend(t)), toyConfig()
	o.Run = newRun(t)
	mustTrain(t, o, cfg)
	files := eventFiles(t, o.Run)
	if len(files) != 1 {
		t.Fatalf("event files %v, want one", files)
	}
	data, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	frames, err := readFrames(data)
	if err != nil {
		t.Fatal(err)
	}
	if v := fields(t, frames[0])[eventFileVersion]; len(v) != 1 || string(v[0]) != "brain.Event:2" {
		t.Errorf("first event has version %q", v)
	}
	if !bytes.Contains(frames[1], []byte("training: {}")) {
		t.Error("second event does not hold the recipe")
	}
	records, err := o.Run.ReadMetrics()
	if err != nil {
		t.Fatal(err)
	}
	if len(frames) != len(records)+2 {
		t.Fatalf("%d events for %d records", len(frames), len(records))
	}
	for i, rec := range records {
		e := fields(t, frames[i+2])
		if step, _ := protowire.ConsumeVarint(e[eventStep][0]); int(step) != rec.Step {
			t.Errorf("record %d: step %d, want %d", i, step, rec.Step)
		}
		got := map[string]float32{}
		for _, v := range fields(t, e[eventSummary][0])[summaryValue] {
			f := fields(t, v)
			got[string(f[valueTag][0])] = math.Float32frombits(binary.LittleEndian.Uint32(f[valueSimpleValue][0]))
		}
		for name, want := range rec.Values {
			if got[rec.Kind+"/"+name] != float32(want) {
				t.Errorf("record %d: %s is %v, want %v", i, name, got[rec.Kind+"/"+name], want)
			}
		}
	}
	// Opening again, as a resumed run does, gives one file with the same events.
	tb, err := openTensorBoard(o.Run, "r")
	if err != nil {
		t.Fatal(err)
	}
	if err := tb.close(); err != nil {
		t.Fatal(err)
	}
	if files := eventFiles(t, o.Run); len(files) != 1 {
		t.Errorf("after opening again: %v, want one file", files)
	}
}

// The checksum of a frame is the masked CRC32C, checked with the value RFC 3720
// gives for "123456789"; a changed byte is noticed.
func TestFrameGolden(t *testing.T) {
	var b bytes.Buffer
	if err := writeFrame(&b, []byte("123456789")); err != nil {
		t.Fatal(err)
	}
	// CRC32C("123456789") is 0xe3069283, the check value of RFC 3720.
	crc := uint32(0xe3069283)
	want := (crc>>15 | crc<<17) + 0xa282ead8
	if got := binary.LittleEndian.Uint32(b.Bytes()[b.Len()-4:]); got != want {
		t.Errorf("masked checksum %#x, want %#x", got, want)
	}
	b.Bytes()[13] ^= 1
	if _, err := readFrames(b.Bytes()); err == nil {
		t.Error("a changed byte was not noticed")
	}
}

func TestProgressModes(t *testing.T) {
	s := status{Step: 4, Steps: 4, Epoch: 1, Epochs: 2, Loss: 0.5, Rate: 1e-3, TokensPerSec: 12345, SecondsToGo: 3723}
	for mode, want := range map[string]string{
		"plain": "step 4/4  epoch 2/2  loss 0.5000  lr 0.001  12.3k tokens/s  ETA 1h02m\nhello 1\n",
		"none":  "",
		"json":  `{"data":{"step":4,"steps":4,"epoch":1,"epochs":2,"loss":0.5,"lr":0.001,"tokens_per_second":12345,"eta_seconds":3723},"event":"step"}` + "\n" + `{"data":"hello 1","event":"note"}` + "\n",
	} {
		var b bytes.Buffer
		d, err := newDisplay(Progress{Mode: mode, Out: &b}, 4, 0)
		if err != nil {
			t.Fatal(err)
		}
		d.show(s)
		d.note("hello %d", 1)
		d.close()
		if b.String() != want {
			t.Errorf("%s: %q, want %q", mode, b.String(), want)
		}
		for line := range strings.Lines(b.String()) {
			if mode == "json" && !json.Valid([]byte(line)) {
				t.Errorf("not JSON: %s", line)
			}
		}
	}
	var b bytes.Buffer
	d, err := newDisplay(Progress{Mode: "bar", Out: &b}, 4, 1)
	if err != nil {
		t.Fatal(err)
	}
	d.show(s)
	d.note("hello")
	d.close()
	for _, want := range []string{"loss 0.5000", "12.3k tok/s", "ETA 1h02m", "hello"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("bar %q does not show %q", b.String(), want)
		}
	}
	// Not a terminal: auto is plain.
	if d, err := newDisplay(Progress{Out: &b}, 4, 0); err != nil || d.mode != "plain" {
		t.Errorf("auto on a buffer is %v, %v; want plain", d, err)
	}
}

// Between two lines of plain progress lies plainEvery, except for the last step.
func TestPlainProgressIsRare(t *testing.T) {
	var b bytes.Buffer
	d, err := newDisplay(Progress{Mode: "plain", Out: &b}, 100, 0)
	if err != nil {
		t.Fatal(err)
	}
	d.last = time.Now().Add(time.Hour) // as if a line had just been printed
	for step := 1; step <= 100; step++ {
		d.show(status{Step: step, Steps: 100, Epochs: 1})
	}
	if n := strings.Count(b.String(), "\n"); n != 1 {
		t.Errorf("%d lines, want only the last step's", n)
	}
}

func TestClockAndShort(t *testing.T) {
	for s, want := range map[float64]string{5: "5s", 184: "3m04s", 3720: "1h02m", 0: "0s"} {
		if got := clock(s); got != want {
			t.Errorf("clock(%v) = %q, want %q", s, got, want)
		}
	}
	for x, want := range map[float64]string{950: "950", 12345: "12.3k", 4.56e6: "4.6M"} {
		if got := short(x); got != want {
			t.Errorf("short(%v) = %q, want %q", x, got, want)
		}
	}
}
