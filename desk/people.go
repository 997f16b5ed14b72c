package desk

import (
	"container/list"
	"context"
	"sync"
	"time"

	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/store"
)

// HistoryLimit is the number of actions of a person that an answer rests on at most.
const HistoryLimit = 1000

// forever is after every moment that a store accepts.
const forever = 253_402_300_799_999

// people keeps what the people of the moment did, so that a request need not ask the
// store. It holds at most a number of actions; who has not asked for longest goes first.
type people struct {
	store store.Actions
	limit int           // actions
	ttl   time.Duration // after which the store is asked again; 0: never, nobody else writes
	now   func() time.Time

	mu    sync.Mutex
	by    map[string]*list.Element // of *person
	order *list.List               // most recent first
	held  int                      // actions
}

// person is one of them. Its lock is held while the store is read, so that an action
// which is stored meanwhile is not forgotten.
type person struct {
	user string
	held int // actions counted in people.held; guarded by people.mu

	mu     sync.Mutex
	at     time.Time // when it was read; zero: not yet
	whole  bool      // the store has no more of him
	past   []store.Action
	visits map[serial]translated // by model; a model itself must not outlive its version here
}

// translated is a past in a model's numbers.
type translated struct {
	visits  []poi.Visit
	ignored int // actions on places that the model does not know
}

func newPeople(s store.Actions, limit int, ttl time.Duration, now func() time.Time) *people {
	return &people{store: s, limit: limit, ttl: ttl, now: now, by: map[string]*list.Element{}, order: list.New()}
}

// get returns the entry of a user, making it if need be.
func (p *people) get(user string) *person {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.by[user]; ok {
		p.order.MoveToFront(e)
		return e.Value.(*person)
	}
	x := &person{user: user}
	p.by[user] = p.order.PushFront(x)
	return x
}

// settle counts a person's actions and lets others go if there are too many.
func (p *people) settle(x *person, held int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.by[x.user]; !ok || e.Value != x {
		return // gone meanwhile
	}
	p.held += held - x.held
	x.held = held
	for p.held > p.limit && p.order.Len() > 1 {
		p.drop(p.order.Back())
	}
}

func (p *people) drop(e *list.Element) {
	x := p.order.Remove(e).(*person)
	delete(p.by, x.user)
	p.held -= x.held
}

// forget drops a user.
func (p *people) forget(user string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e, ok := p.by[user]; ok {
		p.drop(e)
	}
}

// past is what a user did before a moment.
type past struct {
	translated
	ids  []string      // POIs of the actions, in their order
	last *store.Action // nil without a past
}

// before returns what a user did strictly before a moment, in the numbers of a model.
func (p *people) before(ctx context.Context, user string, ms int64, m *Model) (past, error) {
	x := p.get(user)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.at.IsZero() || p.ttl > 0 && p.now().Sub(x.at) > p.ttl {
		actions, err := p.store.Recent(ctx, user, forever, HistoryLimit)
		if err != nil {
			return past{}, err
		}
		x.past, x.at, x.whole, x.visits = actions, p.now(), len(actions) < HistoryLimit, nil
		p.settle(x, len(actions))
	}
	n := len(x.past)
	for n > 0 && x.past[n-1].TimeMS >= ms {
		n--
	}
	if n == len(x.past) {
		if x.visits == nil {
			x.visits = map[serial]translated{}
		}
		t, ok := x.visits[m.serial]
		if !ok {
			if len(x.visits) > 4 { // models that came and went
				clear(x.visits)
			}
			t = m.translate(x.past)
			x.visits[m.serial] = t
		}
		return pastOf(x.past, t), nil
	}
	actions := x.past[:n]
	if !x.whole { // the moment lies back so far that what is kept is not all there was
		var err error
		if actions, err = p.store.Recent(ctx, user, ms, HistoryLimit); err != nil {
			return past{}, err
		}
	}
	return pastOf(actions, m.translate(actions)), nil
}

func pastOf(actions []store.Action, t translated) past {
	out := past{translated: t, ids: make([]string, len(actions))}
	for i := range actions {
		out.ids[i] = actions[i].POI
	}
	if n := len(actions); n > 0 {
		last := actions[n-1]
		out.last = &last
	}
	return out
}

// acted tells of actions that were stored just now.
func (p *people) acted(user string, actions []store.Action) {
	p.mu.Lock()
	e, ok := p.by[user]
	p.mu.Unlock()
	if !ok {
		return
	}
	x := e.Value.(*person)
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.at.IsZero() {
		return
	}
	for _, a := range actions {
		n := len(x.past)
		if n > 0 && a.TimeMS < x.past[n-1].TimeMS {
			x.at = time.Time{} // out of order: the store knows where it belongs
			return
		}
		known := false
		for i := n - 1; i >= 0 && x.past[i].TimeMS == a.TimeMS && !known; i-- {
			known = x.past[i].Identity() == a.Identity()
		}
		if !known {
			x.past = append(x.past, a)
		}
	}
	if over := len(x.past) - HistoryLimit; over > 0 {
		x.past, x.whole = append([]store.Action(nil), x.past[over:]...), false
	}
	x.visits = nil
	p.settle(x, len(x.past))
}

// translate puts actions into the numbers of the model. Places that it does not know
// are left out; a type that it does not know is its first.
func (m *Model) translate(actions []store.Action) translated {
	t := translated{visits: make([]poi.Visit, 0, len(actions))}
	for i := range actions {
		a := &actions[i]
		v, err := m.p.Predictor.Visit(&poi.Action{POI: a.POI, TimeMS: a.TimeMS, OffsetMin: a.OffsetMin, Type: m.typeOf(a.Type),
			HasUser: a.HasUser, UserLat: a.UserLat, UserLng: a.UserLng})
		if err != nil {
			t.ignored++
			continue
		}
		t.visits = append(t.visits, v)
	}
	recommend.Order(t.visits)
	return t
}

// typeOf is a type the model knows.
func (m *Model) typeOf(name string) string {
	for _, known := range m.p.Dataset.Types {
		if known == name {
			return name
		}
	}
	return m.p.Dataset.Types[0]
}
