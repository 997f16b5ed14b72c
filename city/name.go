package city

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"strings"
)

var (
	adjectives = strings.Fields(`Amber Blue Bright Brave Broken Calm Copper Crooked Crystal Dancing Distant
		Early Emerald First Flying Gentle Gilded Golden Grand Green Happy Hidden Honest Humble Iron Ivory
		Jolly Kind Laughing Little Long Lost Lucky Merry Midnight Misty Noble Northern Old Open Painted
		Pale Patient Quiet Red Roaming Round Royal Rusty Salty Second Silent Silver Singing Sleepy Slow
		Southern Sunny Swift Tall Thirsty Twin Velvet Wandering Warm White Wild Winding Wise Young`)
	nouns = strings.Fields(`Acorn Anchor Apple Ash Badger Barley Basil Beacon Birch Bell Bramble Bridge Brook
		Canal Castle Cedar Chestnut Clover Comet Coral Crane Crown Dove Elm Falcon Feather Fern Fig Finch
		Forge Fountain Fox Garden Ginger Harbour Hare Hazel Heron Hive Holly Ivy Jasmine Juniper Kite
		Lantern Lark Laurel Lemon Lily Linden Magnolia Maple Meadow Mill Mint Moon Moss Nettle Oak Olive
		Orchard Otter Owl Pear Pepper Pine Plum Poppy Quarry Quill Raven Reed River Robin Rose Saffron
		Sage Sparrow Spruce Star Stone Swan Thistle Thyme Tulip Valley Violet Walnut Willow Wren`)
	people = strings.Fields(`Ada Agnes Albert Alma Amir Anselm Astrid Aurora Basile Beatrice Bruno Camille
		Carmen Cecil Clara Colette Dario Delphine Edgar Elena Elias Emil Esther Fatima Felix Fiona Flora
		Gaston Georgia Greta Hana Hector Helena Henri Hugo Ines Irene Isidor Jonas Josephine Jules Kamil
		Kenji Klara Lars Lea Leon Leila Lucia Luis Mabel Magnus Manon Marcel Mathilde Milo Mina Nadia
		Nils Nora Odette Olga Oscar Otto Paloma Petra Quentin Rafael Rosa Ruben Sami Selma Simone Sofia
		Stefan Sylvie Thea Theo Ugo Ursula Valentin Vera Victor Wanda Xavier Yara Yusuf Zelda Zoe`)
	quarters = strings.Fields(`Bank Cross Docks Fields Gate Grove Heights Hill Market Park Quay Row Side Town Vale Yards`)
)

// namer hands out names that do not repeat. It keeps hashes of the names, for
// there may be millions.
type namer struct {
	rng  *rand.Rand
	used map[uint64]struct{}
}

// pick draws one word.
func (n *namer) pick(words []string) string { return words[n.rng.IntN(len(words))] }

// place fills one of the patterns; when the words run out it adds the
// neighbourhood, then a number.
func (n *namer) place(patterns []string, neighbourhood string) string {
	var name string
	for range 4 {
		adjective, noun, someone := n.pick(adjectives), n.pick(nouns), n.pick(people)
		name = fill(n.pick(patterns), adjective, noun, someone, neighbourhood)
		if n.claim(name) {
			return name
		}
	}
	if !strings.Contains(name, neighbourhood) {
		if name += ", " + neighbourhood; n.claim(name) {
			return name
		}
	}
	return n.numbered(name)
}

// fill puts words in the places of %a, %n, %p and %h.
func fill(pattern, adjective, noun, someone, neighbourhood string) string {
	var b strings.Builder
	for i := 0; i < len(pattern); i++ {
		if pattern[i] != '%' {
			b.WriteByte(pattern[i])
			continue
		}
		i++
		switch pattern[i] {
		case 'a':
			b.WriteString(adjective)
		case 'n':
			b.WriteString(noun)
		case 'p':
			b.WriteString(someone)
		case 'h':
			b.WriteString(neighbourhood)
		}
	}
	return b.String()
}

// neighbourhood makes up the name of a quarter.
func (n *namer) neighbourhood() string {
	var name string
	for range 4 {
		if name = n.pick(nouns) + " " + n.pick(quarters); n.claim(name) {
			return name
		}
	}
	return n.numbered(n.pick(adjectives) + " " + name)
}

// numbered adds a small free number, drawn from a range that doubles so that a
// town of millions need not count through all before it.
func (n *namer) numbered(name string) string {
	for top := 8; ; top *= 2 {
		if with := fmt.Sprintf("%s %d", name, 2+n.rng.IntN(top)); n.claim(with) {
			return with
		}
	}
}

// claim takes a name and reports whether it was free.
func (n *namer) claim(name string) bool {
	hash := fnv.New64a()
	hash.Write([]byte(name))
	if _, taken := n.used[hash.Sum64()]; taken {
		return false
	}
	n.used[hash.Sum64()] = struct{}{}
	return true
}
