package training

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"time"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/whereto/whereto/run"
)

// The TensorBoard file format: TFRecord frames (length, masked CRC32C of the
// length, data, masked CRC32C of the data) around tensorflow.Event messages.
// Field numbers are those of tensorflow's event.proto, summary.proto,
// tensor.proto and tensor_shape.proto.
const (
	eventWallTime    = 1
	eventStep        = 2
	eventFileVersion = 3
	eventSummary     = 5

	summaryValue = 1

	valueTag         = 1
	valueSimpleValue = 2
	valueTensor      = 8
	valueMetadata    = 9

	metadataPlugin = 1
	pluginName     = 1

	tensorDType     = 1
	tensorShape     = 2
	tensorStringVal = 8
	shapeDim        = 2
	dimSize         = 1
	dtypeString     = 7
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// maskedCRC is TFRecord's checksum: rotated and offset, so that a checksum of
// data that holds checksums stays useful.
func maskedCRC(data []byte) uint32 {
	c := crc32.Checksum(data, castagnoli)
	return (c>>15 | c<<17) + 0xa282ead8
}

// writeFrame writes one TFRecord.
func writeFrame(w io.Writer, data []byte) error {
	frame := binary.LittleEndian.AppendUint64(make([]byte, 0, len(data)+16), uint64(len(data)))
	frame = binary.LittleEndian.AppendUint32(frame, maskedCRC(frame))
	frame = append(frame, data...)
	frame = binary.LittleEndian.AppendUint32(frame, maskedCRC(data))
	_, err := w.Write(frame)
	return err
}

// event encodes an Event; body is appended after time and step.
func event(at time.Time, step int, body []byte) []byte {
	e := protowire.AppendTag(nil, eventWallTime, protowire.Fixed64Type)
	e = protowire.AppendFixed64(e, math.Float64bits(float64(at.UnixMicro())/1e6))
	e = protowire.AppendTag(e, eventStep, protowire.VarintType)
	e = protowire.AppendVarint(e, uint64(step))
	return append(e, body...)
}

func message(num protowire.Number, body []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), body)
}

func text(num protowire.Number, s string) []byte { return message(num, []byte(s)) }

// scalarsEvent encodes the values of a record as scalars "kind/name".
func scalarsEvent(rec run.Record) []byte {
	names := make([]string, 0, len(rec.Values))
	for name := range rec.Values {
		names = append(names, name)
	}
	slices.Sort(names)
	var summary []byte
	for _, name := range names {
		v := text(valueTag, rec.Kind+"/"+name)
		v = protowire.AppendTag(v, valueSimpleValue, protowire.Fixed32Type)
		v = protowire.AppendFixed32(v, math.Float32bits(float32(rec.Values[name])))
		summary = append(summary, message(summaryValue, v)...)
	}
	return event(rec.Time, rec.Step, message(eventSummary, summary))
}

// textEvent encodes a text for the text plugin, for example the recipe.
func textEvent(at time.Time, tag, content string) []byte {
	dim := protowire.AppendVarint(protowire.AppendTag(nil, dimSize, protowire.VarintType), 1)
	tensor := protowire.AppendVarint(protowire.AppendTag(nil, tensorDType, protowire.VarintType), dtypeString)
	tensor = append(tensor, message(tensorShape, message(shapeDim, dim))...)
	tensor = append(tensor, text(tensorStringVal, content)...)
	v := text(valueTag, tag)
	v = append(v, message(valueTensor, tensor)...)
	v = append(v, message(valueMetadata, message(metadataPlugin, text(pluginName, "text")))...)
	return event(at, 0, message(eventSummary, message(summaryValue, v)))
}

// tensorBoard appends events to one file of a run folder.
type tensorBoard struct{ f *os.File }

// openTensorBoard starts a new event file with everything in metrics.jsonl so
// far and removes older ones: the files are a view of metrics.jsonl, so that a
// resumed run shows one line, not two.
func openTensorBoard(r *run.Run, recipe string) (*tensorBoard, error) {
	dir := r.Path(run.TensorBoardDir)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, fmt.Errorf("tensorboard: %w", err)
	}
	old, err := filepath.Glob(filepath.Join(dir, "events.out.tfevents.*"))
	if err != nil {
		return nil, fmt.Errorf("tensorboard: %w", err)
	}
	for _, path := range old {
		if err := os.Remove(path); err != nil {
			return nil, fmt.Errorf("tensorboard: %w", err)
		}
	}
	records, err := r.ReadMetrics()
	if err != nil {
		return nil, fmt.Errorf("tensorboard: %w", err)
	}
	now := time.Now()
	path := filepath.Join(dir, fmt.Sprintf("events.out.tfevents.%010d.whereto.%d", now.Unix(), os.Getpid()))
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("tensorboard: %w", err)
	}
	tb := &tensorBoard{f: f}
	frames := [][]byte{event(now, 0, text(eventFileVersion, "brain.Event:2")), textEvent(now, "recipe", recipe)}
	for _, rec := range records {
		frames = append(frames, scalarsEvent(rec))
	}
	for _, frame := range frames {
		if err := writeFrame(f, frame); err != nil {
			return nil, fmt.Errorf("tensorboard: write %s: %w", path, err)
		}
	}
	return tb, nil
}

// add appends the scalars of a record.
func (t *tensorBoard) add(rec run.Record) error {
	if err := writeFrame(t.f, scalarsEvent(rec)); err != nil {
		return fmt.Errorf("tensorboard: write %s: %w", t.f.Name(), err)
	}
	return nil
}

func (t *tensorBoard) close() error { return t.f.Close() }
