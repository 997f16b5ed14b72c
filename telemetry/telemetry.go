// Package telemetry shows what the service does: numbers for Prometheus (Metrics),
// spans for a trace collector (Tracing) and structured logs (NewLogger).
//
// Callers speak in the words below, never in label strings, so the number of time
// series has a bound that no request can move. Names carry the prefix whereto_ and base
// units: seconds, metres, bytes, ratios of 0 to 1. Definitions lists every metric; the
// table in docs/OPERATIONS.md, the dashboard and the alerts are tested against it.
//
// Nothing secret leaves through here. Keys, bearer tokens and passwords are taken out
// of logs and spans wherever they stand; user ids and positions appear in logs only as
// short hashes unless LogOptions.Personal allows them; metrics have neither.
//
// Recording never fails and never waits for anything but a short lock. Everything may
// be used by many goroutines at once.
package telemetry

// Stage is a part of the work on one request.
type Stage uint8

// Stages, in the order a request meets them.
const (
	StageQueue    Stage = iota // waiting for a turn on the engine
	StageState                 // finding or building what is remembered of the user
	StageEvidence              // what the past says of each candidate
	StagePrefill               // the network over the history
	StageDecode                // the network over the request, and the beam
	StageSearch                // nearest vectors, places of an area
	StageStore                 // reading and writing the store
	StageEncode                // writing the answer
)

var stageNames = []string{"queue", "state", "evidence", "prefill", "decode", "search", "store", "encode"}

// String returns the stage as metrics and spans name it.
func (s Stage) String() string { return word(stageNames, s) }

// Refusal is why a request was turned away before any work on it.
type Refusal uint8

// Refusals.
const (
	RefusedKey     Refusal = iota // no API key, or one that is unknown or expired
	RefusedRole                   // the key may not do this
	RefusedRate                   // the key asks too often
	RefusedBusy                   // too many requests run and wait already
	RefusedTimeout                // waited too long for its turn
	RefusedSize                   // larger than allowed
)

var refusalNames = []string{"key", "role", "rate", "busy", "timeout", "size"}

// Fallback is why something other than the model, with all it wants, answered.
type Fallback uint8

// Fallbacks.
const (
	FallbackNewUser       Fallback = iota // the model has not seen the user in training
	FallbackEmptyHistory                  // the person has no past
	FallbackUnknownPlaces                 // the past lies wholly on places unknown to the model
	FallbackEmptyArea                     // the model found no place inside the limits asked for
	FallbackFailed                        // the network failed; popularity and distance answered
)

var fallbackNames = []string{"new_user", "empty_history", "unknown_places", "empty_area", "failed"}

// StoreOp is what was asked of the store.
type StoreOp uint8

// Store operations.
const (
	StoreAppend     StoreOp = iota // store actions
	StoreRecent                    // the latest actions of a user
	StoreActions                   // list actions
	StoreUsers                     // list users
	StoreDeleteUser                // remove all of a user
	StoreCount                     // count what is stored
	StoreWritePOIs                 // add, change and close POIs
	StoreReadPOIs                  // look up and list POIs
	StoreChanges                   // POIs changed since a revision
	StoreKeys                      // API keys
	StorePing                      // is it there
)

var storeOpNames = []string{"append", "recent", "actions", "users", "delete_user", "count",
	"write_pois", "read_pois", "changes", "keys", "ping"}

// ActionResult is what became of an action sent in.
type ActionResult uint8

// Results of sent actions.
const (
	ActionStored ActionResult = iota
	ActionDuplicate
	ActionRejected
)

var actionResultNames = []string{"stored", "duplicate", "rejected"}

// AnswerSource is what the first place of an answer mostly rests on.
type AnswerSource uint8

// Answer sources.
const (
	SourceCopy     AnswerSource = iota // the person's own past
	SourceGenerate                     // the generator
	SourceCold                         // a place the model has never seen, judged by those alike
	SourceFallback                     // no model
)

var sourceNames = []string{"copy", "generate", "cold", "fallback"}

// ModelState is where a model version stands.
type ModelState uint8

// Model states. A version that is only on disk has none.
const (
	ModelLoading ModelState = iota
	ModelReady              // loaded and warm, may become active
	ModelActive
	ModelShadow
	ModelDraining
	ModelFailed
)

var modelStateNames = []string{"loading", "ready", "active", "shadow", "draining", "failed"}

// other stands for every value that is not among the known ones.
const other = "other"

// word is the name of a value, or other for one that is not among the constants.
func word[T ~uint8](names []string, v T) string {
	if int(v) < len(names) {
		return names[v]
	}
	return other
}
