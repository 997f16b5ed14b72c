package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/whereto/whereto/casebook"
	"github.com/whereto/whereto/city"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/tune"
)

// localText is an instant on the local clock.
func localText(ms int64, offsetMin int16) string {
	return poi.LocalTime(ms, offsetMin).Format("Mon 2006-01-02 15:04")
}

// page puts a case on a page.
func (c *caseFinder) page(q *poi.Request, place int32, why *tune.Explanation) (*casebook.Page, error) {
	t := c.t
	requests := []*poi.Request{q}
	own, err := c.scores(c.own, requests)
	if err != nil {
		return nil, err
	}
	other, err := c.scores(c.other, requests)
	if err != nil {
		return nil, err
	}
	user := &t.Dataset.Users[q.User]
	one := casebook.Case{Request: q.ID, Who: whoIs(user), TimeMS: q.TimeMS, OffsetMin: q.OffsetMin, HasUser: q.HasUser,
		Lat: float64(q.UserLat), Lng: float64(q.UserLng), Run: c.own.Name(), Against: c.other.Name(), Place: t.Dataset.Places[place], Logit: why.Score}
	if one.Against == one.Run {
		one.Against = c.ask.against // two seeds of one recipe: folders tell them apart
	}
	for i, o := range q.Options {
		one.Options = append(one.Options, casebook.Option{Place: t.Dataset.Places[o.POI], Clicked: o.Clicked, Score: own[0][i], Other: other[0][i],
			Click: known(o.Click), Relevance: known(o.Relevance)})
	}
	if c.details != nil {
		one.Details = c.details[place]
	}
	deltas := map[int]float64{}
	for _, a := range why.Actions {
		deltas[a.At] = a.Delta
	}
	one.Before = int(q.Pos) - len(why.Actions)
	for i := one.Before; i < int(q.Pos); i++ {
		v := &user.Visits[i]
		one.Actions = append(one.Actions, casebook.Action{Place: t.Dataset.Places[v.POI], TimeMS: v.TimeMS, OffsetMin: v.OffsetMin,
			Type: t.Dataset.Types[v.Type], Delta: deltas[i]})
	}
	for _, p := range why.Parts {
		one.Parts = append(one.Parts, casebook.Part{Kind: p.Kind, At: p.At, Delta: p.Delta})
	}
	if one.Likes, one.Attributes, err = c.truth(user.ID, one.Place); err != nil {
		return nil, err
	}
	facts := []casebook.Fact{{Name: "run", Value: c.dir}, {Name: "beside it", Value: one.Against}, {Name: "data", Value: t.Dataset.Name}, {Name: "part of the data", Value: q.Tag.String()}}
	if t.Media != nil {
		facts = append(facts, casebook.Fact{Name: "text and images by", Value: t.Media.Encoder})
	}
	return &casebook.Page{Title: "Why " + one.Run + " ranks this place where it does", Facts: facts, Cases: []casebook.Case{one}}, nil
}

// known is a probability of the log; what is below zero is not known.
func known(p float32) float64 {
	if p < 0 {
		return casebook.Unknown
	}
	return float64(p)
}

// whoIs is a profile in words.
func whoIs(u *poi.User) string {
	p := u.Profile
	words := make([]string, 0, 4+len(p.Tags))
	for _, w := range append([]string{p.Occupation, p.Gender, p.AgeBand}, p.Tags...) {
		if w != "" {
			words = append(words, w)
		}
	}
	return strings.Join(append(words, "user "+u.ID), ", ")
}

// truth is what the simulation hides, if the data is simulated and says of which
// settings: tastes of the person and qualities of the place. A city that another
// version made has other places: then there is none.
func (c *caseFinder) truth(user string, place poi.Place) (likes, attributes []string, err error) {
	cfg, ok, err := simulated(c.t.Recipe.Data)
	if err != nil || !ok {
		return nil, nil, err
	}
	made, err := city.New(cfg)
	if err != nil {
		return nil, nil, err
	}
	p := slices.IndexFunc(made.Places, func(x poi.Place) bool { return x.ID == place.ID })
	if p < 0 || made.Places[p].Name != place.Name || made.Places[p].Category != place.Category {
		return nil, nil, nil
	}
	for u := range made.Users() {
		if made.UserID(u) == user {
			likes = made.Likes(u)
			break
		}
	}
	return likes, made.Attributes(p), nil
}

// simulated returns the settings of the city that the data is: those of the recipe,
// or of the card that `data synth` left in the only data folder.
func simulated(data pipeline.Config) (cfg city.Config, ok bool, err error) {
	if len(data.Paths) == 0 {
		return data.City, true, nil
	}
	files := beside(data.Paths, pipeline.CardFile)
	if len(data.Paths) != 1 || len(files) != 1 {
		return cfg, false, nil
	}
	text, err := os.ReadFile(files[0])
	if errors.Is(err, fs.ErrNotExist) {
		return cfg, false, nil
	}
	if err != nil {
		return cfg, false, err
	}
	var card pipeline.CityCard
	if err := json.Unmarshal(text, &card); err != nil {
		return cfg, false, fmt.Errorf("%s: %w: %w; write the data folder again", files[0], poi.ErrBadInput, err)
	}
	if len(card.City) == 0 {
		return cfg, false, nil // an imported log
	}
	settings, err := yaml.Marshal(card.City)
	if err != nil {
		return cfg, false, fmt.Errorf("%s: %w", files[0], err)
	}
	if err := yaml.Unmarshal(settings, &cfg); err != nil {
		return cfg, false, fmt.Errorf("%s: settings of the city: %w: %w", files[0], poi.ErrBadInput, err)
	}
	return cfg, true, nil
}
