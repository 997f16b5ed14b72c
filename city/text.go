package city

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/whereto/whereto/poi"
)

const (
	leastReviews, mostReviews = 2, 6
	// mentionShare is how likely a true attribute is in the reviews at all,
	// againShare how likely a second time, tagShare in the tags.
	mentionShare, againShare, tagShare = 0.93, 0.35, 0.3
	// slipShare is how likely a review praises what the place does not have,
	// deniedShare how likely one says so.
	slipShare, deniedShare = 0.015, 0.04
	// streetsPerQuarter is how many street names a quarter has.
	streetsPerQuarter = 8
)

// Details tells of a place, by position in Places, what Place does not: an
// address, tags, two to six short reviews and a small PNG. The reviews nearly
// always tell of the place's attributes, in many words; the tags and the picture
// only sometimes. It is made on demand and is a pure function of Config and the
// place.
func (c *City) Details(place int) poi.Details {
	rng := stream(c.cfg.Seed, streamText, place)
	s := &c.spots[place]
	return poi.Details{Address: c.address(rng, s), Tags: tags(rng, s), Reviews: reviews(rng, s), Image: c.picture(place)}
}

// address names a street that other places of the quarter share.
func (c *City) address(rng *rand.Rand, s *spot) string {
	street := rng.IntN(streetsPerQuarter)
	names := stream(c.cfg.Seed, streamStreet, (int(s.town)*maxQuarters+int(s.quarter))*streetsPerQuarter+street)
	word := nouns
	if names.IntN(3) == 0 {
		word = people
	}
	t := c.towns[s.town]
	return fmt.Sprintf("%d %s %s, %s, %s", 1+rng.IntN(120), pick(names, word), pick(names, streetEnds), t.quarters[s.quarter].name, t.name)
}

func pick(rng *rand.Rand, words []string) string { return words[rng.IntN(len(words))] }

func tags(rng *rand.Rand, s *spot) []string {
	path := strings.ToLower(categories[s.category].path)
	out := []string{path[strings.LastIndex(path, "> ")+2:]}
	for range rng.IntN(3) {
		out = append(out, pick(rng, genericTags))
	}
	for a := range attributes {
		if rng.Float64() < tagShare && s.traits.has(a) {
			out = append(out, pick(rng, tellingTags[a]))
		}
	}
	slices.Sort(out[1:]) // neither kind of tag stands first
	return slices.Compact(out)
}

func reviews(rng *rand.Rand, s *spot) []string {
	said := make([][]string, leastReviews+rng.IntN(mostReviews-leastReviews+1))
	say := func(clause string) {
		text := strings.Replace(pick(rng, frames), "%s", clause, 1)
		i := rng.IntN(len(said))
		said[i] = append(said[i], strings.ToUpper(text[:1])+text[1:])
	}
	usual := chatter[groupOf[s.category]]
	first := rng.IntN(len(usual))
	for i := range said {
		said[i] = append(said[i], usual[(first+i)%len(usual)]+".")
	}
	for a := range attributes {
		mention, again, x := rng.Float64(), rng.Float64(), rng.Float64()
		switch {
		case !s.traits.has(a) && x < slipShare:
			say(pick(rng, phrasings[a]))
		case !s.traits.has(a) && x < slipShare+deniedShare:
			say(denied[a])
		case s.traits.has(a) && mention < mentionShare:
			first := rng.IntN(len(phrasings[a]))
			say(phrasings[a][first])
			if again < againShare {
				say(phrasings[a][(first+1+rng.IntN(len(phrasings[a])-1))%len(phrasings[a])])
			}
		}
	}
	out := make([]string, len(said))
	for i, sentences := range said {
		rng.Shuffle(len(sentences), func(i, j int) { sentences[i], sentences[j] = sentences[j], sentences[i] })
		if rng.Float64() < 0.5 {
			sentences = append(sentences, pick(rng, verdicts))
		}
		out[i] = strings.Join(sentences, " ")
	}
	return out
}
