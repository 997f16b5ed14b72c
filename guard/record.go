package guard

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// Limits of records.
const (
	maxFile    = 16 << 20 // bytes
	maxRecords = 100_000
	maxScenes  = 100
	maxScene   = 64 // characters
)

// Record is a key as files and stores keep it.
type Record struct {
	ID      string     `json:"id" yaml:"id"`
	Hash    string     `json:"hash" yaml:"hash"` // hex SHA-256 of the token
	Role    string     `json:"role" yaml:"role"`
	Scenes  []string   `json:"scenes,omitempty" yaml:"scenes,omitempty"`
	Box     *Box       `json:"box,omitempty" yaml:"box,omitempty"`
	Expires *time.Time `json:"expires,omitempty" yaml:"expires,omitempty"`
}

const knownFields = "id, hash, role, scenes, box (south, west, north, east) and expires (RFC 3339)"

// String names the key without its hash, and nothing of a record that Key refuses: its
// secret may stand anywhere.
func (r Record) String() string {
	key, err := r.Key()
	if err != nil {
		return "bad record"
	}
	return "record of " + key.String()
}

// GoString is String.
func (r Record) GoString() string { return r.String() }

// LogValue is String.
func (r Record) LogValue() slog.Value { return slog.StringValue(r.String()) }

// Key checks the record. Errors wrap ErrRecord and repeat no value that may be secret.
func (r Record) Key() (Key, error) {
	e, err := r.entry()
	return e.Key, err
}

// entry is a key of a ring.
type entry struct {
	Key
	hash [sha256.Size]byte
}

func (r Record) entry() (entry, error) {
	if err := checkID(r.ID); err != nil {
		return entry{}, err
	}
	k := entry{Key: Key{ID: r.ID, Scenes: r.Scenes, Box: r.Box}}
	switch sum, err := hex.DecodeString(r.Hash); {
	case strings.HasPrefix(r.Hash, tokenPrefix):
		return entry{}, fmt.Errorf("key %s: %w: hash is the key itself; replace it by its SHA-256, and the key too, since it has been written down", r.ID, ErrRecord)
	case err != nil || len(sum) != len(k.hash):
		return entry{}, fmt.Errorf("key %s: %w: hash has %d characters; want the %d hex digits of a SHA-256", r.ID, ErrRecord, len(r.Hash), 2*len(k.hash))
	default:
		copy(k.hash[:], sum)
	}
	var err error
	if k.Role, err = ParseRole(r.Role); err != nil {
		return entry{}, fmt.Errorf("key %s: %w", r.ID, err)
	}
	if len(r.Scenes) > maxScenes {
		return entry{}, fmt.Errorf("key %s: %w: %d scenes, at most %d", r.ID, ErrRecord, len(r.Scenes), maxScenes)
	}
	for i, scene := range r.Scenes {
		if scene == "" || len(scene) > maxScene {
			return entry{}, fmt.Errorf("key %s: scenes[%d]: %w: want 1 to %d characters", r.ID, i, ErrRecord, maxScene)
		}
	}
	if r.Box != nil {
		if err := r.Box.check(); err != nil {
			return entry{}, fmt.Errorf("key %s: %w", r.ID, err)
		}
	}
	if r.Expires != nil {
		k.Expires = *r.Expires
	}
	return k, nil
}

// readFile reads the records of a file: YAML with a list "keys", or one JSON object a
// line in files named .jsonl or .ndjson.
func readFile(path string) ([]Record, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read API keys: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read API keys: %w", err)
	}
	if len(text) > maxFile {
		return nil, fmt.Errorf("API keys of %s: %w: more than %d bytes", path, ErrRecord, maxFile)
	}
	parse := parseYAML
	switch strings.ToLower(filepath.Ext(path)) {
	case ".jsonl", ".ndjson":
		parse = parseLines
	}
	records, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("API keys of %s: %w", path, err)
	}
	return records, nil
}

var lineNumber = regexp.MustCompile(`line \d+`)

// parseYAML tells of the YAML reader's errors only the lines, because they quote what
// was read.
func parseYAML(text []byte) ([]Record, error) {
	var list struct {
		Keys []Record `yaml:"keys"`
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	err := dec.Decode(&list)
	if err == nil {
		err = dec.Decode(new(any))
		if err == nil {
			return nil, fmt.Errorf("%w: a second document; put all keys under one list", ErrRecord)
		}
	}
	if errors.Is(err, io.EOF) {
		return list.Keys, nil
	}
	where := strings.Join(lineNumber.FindAllString(err.Error(), 5), ", ")
	if where == "" {
		where = "somewhere"
	}
	return nil, fmt.Errorf("%s: %w: want a list keys of records with the fields %s", where, ErrRecord, knownFields)
}

func parseLines(text []byte) ([]Record, error) {
	var out []Record
	scan := bufio.NewScanner(bytes.NewReader(text))
	scan.Buffer(nil, 1<<20)
	line := 0
	for scan.Scan() {
		line++
		if len(bytes.TrimSpace(scan.Bytes())) == 0 {
			continue
		}
		var r Record
		dec := json.NewDecoder(bytes.NewReader(scan.Bytes()))
		dec.DisallowUnknownFields()
		if dec.Decode(&r) != nil || dec.More() {
			return nil, fmt.Errorf("line %d: %w: want one JSON object with the fields %s", line, ErrRecord, knownFields)
		}
		out = append(out, r)
	}
	if scan.Err() != nil {
		return nil, fmt.Errorf("line %d: %w: longer than 1 MiB", line+1, ErrRecord)
	}
	return out, nil
}

// parseSetting reads the value of an environment variable: id:hash:role, several
// separated by commas or spaces.
func parseSetting(value string) ([]Record, error) {
	var out []Record
	for _, entry := range strings.FieldsFunc(value, func(c rune) bool { return c == ',' || c == ' ' || c == '\n' || c == '\t' }) {
		parts := strings.Split(entry, ":")
		if len(parts) != 3 {
			return nil, fmt.Errorf("entry %d: %w: %d parts, want id:hash:role", len(out)+1, ErrRecord, len(parts))
		}
		out = append(out, Record{ID: parts[0], Hash: parts[1], Role: parts[2]})
	}
	return out, nil
}
