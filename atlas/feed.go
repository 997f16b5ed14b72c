package atlas

import "github.com/whereto/whereto/poi"

const (
	// feedPositions is how many places of a list are told apart by position.
	feedPositions = 20
	// truthBins cut probabilities for the calibration, aucBins for the AUC.
	truthBins = 20
	aucBins   = 4096
)

// Cell counts places shown and clicked, with the sums of their true
// probabilities where these are known.
type Cell struct {
	Shown, Clicked   int
	Known            int // of Shown, with the truth
	Click, Relevance float64
}

// Feed is what the page tells of impressions; the zero Feed has none.
type Feed struct {
	Requests, Options, Clicks int
	NoClick, AllClicked       int // requests
	ByPosition                [feedPositions]Cell
	ByHour                    [24]Cell
	// Calibration is by true click probability, twentieths from 0 up.
	Calibration [truthBins]Cell
	// click and relevance count options by bin of the truth: not clicked, clicked.
	click, relevance [2][]int
}

// add counts an impression.
func (f *Feed) add(im *poi.Impression) {
	if len(im.Shown) == 0 {
		return
	}
	hour := poi.LocalTime(im.TimeMS, im.OffsetMin).Hour()
	clicks := 0
	for i, s := range im.Shown {
		cells := []*Cell{&f.ByHour[hour]}
		if i < feedPositions {
			cells = append(cells, &f.ByPosition[i])
		}
		if s.Click >= 0 && s.Relevance >= 0 {
			cells = append(cells, &f.Calibration[binOf(s.Click, truthBins)])
			f.truth(s)
		}
		for _, c := range cells {
			c.add(s)
		}
		if s.Clicked {
			clicks++
		}
	}
	f.Requests++
	f.Options += len(im.Shown)
	f.Clicks += clicks
	switch clicks {
	case 0:
		f.NoClick++
	case len(im.Shown):
		f.AllClicked++
	}
}

func (c *Cell) add(s poi.Shown) {
	c.Shown++
	if s.Clicked {
		c.Clicked++
	}
	if s.Click >= 0 && s.Relevance >= 0 {
		c.Known++
		c.Click += float64(s.Click)
		c.Relevance += float64(s.Relevance)
	}
}

func (f *Feed) truth(s poi.Shown) {
	clicked := 0
	if s.Clicked {
		clicked = 1
	}
	for i := range 2 {
		if f.click[i] == nil {
			f.click[i], f.relevance[i] = make([]int, aucBins), make([]int, aucBins)
		}
	}
	f.click[clicked][binOf(s.Click, aucBins)]++
	f.relevance[clicked][binOf(s.Relevance, aucBins)]++
}

// binOf returns which of n equal parts of [0, 1] a probability is in.
func binOf(p float32, n int) int { return min(int(p*float32(n)), n-1) }

// BayesAUC returns the AUC of the true click probability and of the true
// relevance, the best any scorer can expect with and without knowing positions.
// Probabilities that differ by less than 1/4096 count as ties. ok is false where
// the truth is unknown or the options are all of one kind.
func (f *Feed) BayesAUC() (click, relevance float64, ok bool) {
	click, ok = auc(f.click)
	if !ok {
		return 0, 0, false
	}
	relevance, ok = auc(f.relevance)
	return click, relevance, ok
}

// auc is the share of pairs in order, ties counting one half.
func auc(counts [2][]int) (float64, bool) {
	var below, wins, clicked float64
	for i := range counts[0] {
		no, yes := float64(counts[0][i]), float64(counts[1][i])
		wins += yes * (below + no/2)
		below += no
		clicked += yes
	}
	if clicked == 0 || below == 0 {
		return 0, false
	}
	return wins / (below * clicked), true
}

// rate is the click rate, 0 of nothing.
func (c Cell) rate() float64 { return ratio(c.Clicked, c.Shown) }

func ratio(a, b int) float64 {
	if b == 0 {
		return 0
	}
	return float64(a) / float64(b)
}
