package run

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"runtime"
	"runtime/debug"
	"strings"
	"time"
)

const metaFormat = "whereto-run/1"

// Meta says what a run was made from and by what; it is meta.json.
type Meta struct {
	Format           string    `json:"format"` // set by NewMeta
	Name             string    `json:"name"`
	CreatedAt        time.Time `json:"created_at"`
	Seed             int64     `json:"seed"`
	DataFingerprint  string    `json:"data_fingerprint"`  // of the Dataset
	IndexFingerprint string    `json:"index_fingerprint"` // of index.bin
	RecipeHash       string    `json:"recipe_hash"`       // Fingerprint of recipe.yaml
	Backend          string    `json:"backend"`
	GoVersion        string    `json:"go_version"`
	WheretoVersion   string    `json:"whereto_version"` // source revision, "+dirty" if changed
	GoMLXVersion     string    `json:"gomlx_version"`
	Host             Host      `json:"host"`
	Command          []string  `json:"command"`
}

// Host describes the machine a run was made on.
type Host struct {
	OS    string `json:"os"`
	Arch  string `json:"arch"`
	CPU   string `json:"cpu"`
	Cores int    `json:"cores"`
}

// NewMeta returns a Meta with the versions, host and command of this process
// filled in; the caller adds seed, fingerprints and backend.
func NewMeta(name string, recipe []byte) Meta {
	m := Meta{Format: metaFormat, Name: name, CreatedAt: time.Now().UTC().Truncate(time.Second),
		RecipeHash: Fingerprint(recipe), GoVersion: runtime.Version(), WheretoVersion: "unknown", GoMLXVersion: "unknown",
		Host: Host{OS: runtime.GOOS, Arch: runtime.GOARCH, CPU: cpuName(), Cores: runtime.NumCPU()}, Command: os.Args}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return m
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if revision != "" {
		m.WheretoVersion = revision + dirty
	} else if info.Main.Version != "" {
		m.WheretoVersion = info.Main.Version
	}
	for _, d := range info.Deps {
		if d.Path == "github.com/gomlx/gomlx" {
			m.GoMLXVersion = d.Version
		}
	}
	return m
}

// Fingerprint returns the hex SHA-256 of data.
func Fingerprint(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:])
}

// cpuName returns the processor's name where the system tells it in a file, else "".
func cpuName() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return ""
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	for s.Scan() {
		if key, value, ok := strings.Cut(s.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
