package ranker

import (
	"cmp"
	"slices"
	"sort"

	"github.com/whereto/whereto/poi"
)

// tally is what is known of a key (a place, a category, a user, a user and a
// category) at a moment: how often it was shown and clicked, and how many clicks
// its positions alone would have drawn.
type tally struct{ shown, clicks, expected float32 }

// entry is a tally after the event at timeMS, the events before included.
type entry struct {
	key    int64
	timeMS int64
	tally
}

// ledger is the history of many tallies, sorted by key, then time.
type ledger []entry

// at returns the tally of key from events strictly before timeMS.
func (l ledger) at(key, timeMS int64) tally {
	i := sort.Search(len(l), func(i int) bool {
		return l[i].key > key || l[i].key == key && l[i].timeMS >= timeMS
	})
	if i == 0 || l[i-1].key != key {
		return tally{}
	}
	return l[i-1].tally
}

// closed sorts single events and adds them up, merging those of equal key and
// time. Those are ordered by value, so that rounding does not depend on later events.
func closed(events []entry) ledger {
	slices.SortFunc(events, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.timeMS, b.timeMS),
			cmp.Compare(a.clicks, b.clicks), cmp.Compare(a.expected, b.expected))
	})
	out := events[:0]
	for _, e := range events {
		if n := len(out); n > 0 && out[n-1].key == e.key {
			e.shown, e.clicks, e.expected = e.shown+out[n-1].shown, e.clicks+out[n-1].clicks, e.expected+out[n-1].expected
			if out[n-1].timeMS == e.timeMS {
				out[n-1] = e
				continue
			}
		}
		out = append(out, e)
	}
	return slices.Clip(out)
}

// positions is how many display positions are told apart; the rest share the last.
const positions = 32

// Clicks of a position before any were seen: one in ten, with the weight of ten views.
const priorRate, priorViews = 0.1, 10

// examination learns, in time order, which share of views at a position is clicked.
type examination [positions]tally

func (e *examination) rate(at int) float32 {
	t := e[min(at, positions-1)]
	return (t.clicks + priorRate*priorViews) / (t.shown + priorViews)
}

// books are all ledgers of a feed's training requests.
type books struct {
	place, category, user, taste ledger
	visits                       [][]int64 // by place: sorted times of training visits
}

// taste is the key of a user and a leaf category.
func tasteKey(user, leaf int32) int64 { return int64(user)<<32 | int64(uint32(leaf)) }

// newBooks reads the training requests and visits. leaf is the category of a place.
func newBooks(d *poi.Dataset, feed *poi.Feed, leaf []int32) *books {
	order := byTime(feed)
	var place, category, user, taste []entry
	var seen examination
	for from := 0; from < len(order); {
		// Requests of one moment do not see each other: rates are taken before any of them counts.
		to, now := from, feed.Requests[order[from]].TimeMS
		for ; to < len(order) && feed.Requests[order[to]].TimeMS == now; to++ {
			r := &feed.Requests[order[to]]
			for j, o := range r.Options {
				t := tally{shown: 1, expected: seen.rate(j)}
				if o.Clicked {
					t.clicks = 1
				}
				place = append(place, entry{int64(o.POI), now, t})
				category = append(category, entry{int64(leaf[o.POI]), now, t})
				user = append(user, entry{int64(r.User), now, t})
				taste = append(taste, entry{tasteKey(r.User, leaf[o.POI]), now, t})
			}
		}
		for ; from < to; from++ {
			for j, o := range feed.Requests[order[from]].Options {
				p := &seen[min(j, positions-1)]
				p.shown++
				if o.Clicked {
					p.clicks++
				}
			}
		}
	}
	b := &books{place: closed(place), category: closed(category), user: closed(user), taste: closed(taste), visits: make([][]int64, len(d.Places))}
	for _, u := range d.Users {
		for _, v := range u.Visits {
			if v.Tag == poi.Train {
				b.visits[v.POI] = append(b.visits[v.POI], v.TimeMS)
			}
		}
	}
	for _, times := range b.visits {
		slices.Sort(times)
	}
	return b
}

// popularity counts the training visits to a place strictly before timeMS.
func (b *books) popularity(place int32, timeMS int64) int {
	n, _ := slices.BinarySearch(b.visits[place], timeMS)
	return n
}

// byTime lists the training requests of a feed in time order, ties in file order.
func byTime(feed *poi.Feed) []int32 {
	order := slices.Clone(feed.ByTag[poi.Train])
	slices.SortStableFunc(order, func(a, b int32) int {
		return cmp.Compare(feed.Requests[a].TimeMS, feed.Requests[b].TimeMS)
	})
	return order
}
