package city

import "github.com/whereto/whereto/poi"

// Moment is when and where a person asks.
type Moment struct {
	TimeMS    int64 // UTC, milliseconds since 1970
	OffsetMin int16 // local time = UTC + OffsetMin
	Lat, Lng  float64
}

// Relevance returns the true probability that user u clicks the place, given that
// he looks at it, at a moment.
func (c *City) Relevance(u int, at Moment, place int) float64 { return 0.2 }

// Impressions returns the requests of user u, in [0, Users()), in time order.
func (c *City) Impressions(u int) []poi.Impression { return nil }

// Details tells of a place, by position in Places, what Place does not.
func (c *City) Details(place int) poi.Details { return poi.Details{} }

// Attributes returns the true hidden attributes of a place, by position in Places.
func (c *City) Attributes(place int) []string { return nil }

// Likes returns the attributes that user u likes strongly.
func (c *City) Likes(u int) []string { return nil }

// AttributeNames lists all hidden attributes.
func AttributeNames() []string { return nil }

// Town describes one of the towns, the main one first.
type Town struct {
	Name     string
	Lat, Lng float64 // of its centre, degrees
	RadiusKM float64
	Places   int
}

// Towns describes the towns, the main one first.
func (c *City) Towns() []Town { return nil }

// Live returns Actions(u) and Impressions(u) at the cost of one.
func (c *City) Live(u int) ([]poi.Action, []poi.Impression) { return c.Actions(u), nil }
