package city

import "time"

// purpose is why a person goes out. Places serve purposes; a place that serves
// several is remembered under each apart.
type purpose uint8

const (
	atHome purpose = iota
	atWork
	atStudy
	schoolRun
	coffee
	bread
	lunch
	dinner
	drinks
	club
	groceries
	shopping
	sport
	park
	culture
	health
	errand
	sights
	hotel
	station
	purposes // how many there are
)

// kind is the character of a neighbourhood.
type kind uint8

const (
	centre kind = iota
	residential
	business
	nightlife
	green
	kinds // how many there are
)

// days is a set of weekdays, bit 1<<time.Weekday.
type days uint8

const (
	sunday    days = 1 << time.Sunday
	monday    days = 1 << time.Monday
	friday    days = 1 << time.Friday
	saturday  days = 1 << time.Saturday
	weekend        = saturday | sunday
	daily     days = 1<<7 - 1
	weekdays       = daily &^ weekend
	nightsOut      = friday | saturday
)

// has reports whether the day is in the set.
func (d days) has(w time.Weekday) bool { return d&(1<<w) != 0 }

// span is one opening: on these days from open to close, in local minutes after
// midnight; a close beyond 1440 runs into the next day.
type span struct {
	on          days
	open, close int
}

const minutesPerDay = 24 * 60

// always is open around the clock.
var always = []span{{daily, 0, minutesPerDay}}

// service says that a category serves a purpose, and how often it is chosen
// for it beside the other categories that do.
type service struct {
	purpose purpose
	weight  float64
}

// category is one kind of place. near is the relative density of its places by
// kind of neighbourhood: centre, residential, business, nightlife, green.
type category struct {
	path   string
	share  float64 // of a town's places, relative
	near   [kinds]float64
	hours  []span
	serves []service
	names  []string // patterns: %a adjective, %n noun, %p person, %h neighbourhood
}

func h(hour float64) int { return int(hour * 60) }

// categories is the fixed list of the city. The order is part of the format:
// a saved city is rebuilt from its seed.
var categories = []category{
	{"Home > Residential Building", 12, [kinds]float64{2, 9, 1, 2, 3}, always,
		[]service{{atHome, 1}}, []string{"%n Court", "%p House", "%a Terrace", "%h Lofts"}},
	{"Work > Office", 9, [kinds]float64{5, .6, 9, 1, .5}, []span{{weekdays, h(6), h(22)}, {saturday, h(8), h(18)}},
		[]service{{atWork, 1}}, []string{"%n Tower", "%p & Partners", "%a Works", "%n Labs"}},
	{"Education > University", 1.6, [kinds]float64{4, .5, 3, 1, 3}, []span{{weekdays, h(7), h(22)}, {saturday, h(8), h(18)}},
		[]service{{atStudy, 1}}, []string{"%p Faculty", "%h Campus", "Institute of %n"}},
	{"Education > School", 2.5, [kinds]float64{1, 6, .5, .5, 2}, []span{{weekdays, h(7.5), h(18)}},
		[]service{{schoolRun, 1}}, []string{"%h School", "%p School", "%a %n Primary"}},
	{"Food > Coffee Shop", 7, [kinds]float64{6, 3, 6, 3, 1}, []span{{weekdays, h(6.5), h(19)}, {weekend, h(8), h(19)}},
		[]service{{coffee, 1}}, []string{"Café %n", "The %a Bean", "%p's Coffee", "%h Roasters"}},
	{"Food > Tea Room", 1.5, [kinds]float64{4, 3, 1, 1, 3}, []span{{daily, h(9), h(19)}},
		[]service{{coffee, .25}}, []string{"The %a Kettle", "%p's Tea Room", "Tea at %n"}},
	{"Food > Bakery", 4.5, [kinds]float64{3, 6, 3, 1, 1}, []span{{daily &^ monday, h(6), h(19.5)}},
		[]service{{bread, 1}, {lunch, .15}}, []string{"%p Bakery", "The %a Loaf", "%h Bread"}},
	{"Food > Sandwich Bar", 3, [kinds]float64{5, 1, 8, 2, 1}, []span{{weekdays, h(10), h(16)}, {saturday, h(11), h(16)}},
		[]service{{lunch, 1}}, []string{"%n Deli", "%p's Sandwiches", "The %a Baguette"}},
	{"Food > Canteen", 1.5, [kinds]float64{3, .3, 7, .5, .5}, []span{{weekdays, h(11), h(14.5)}},
		[]service{{lunch, .8}}, []string{"%n Canteen", "%h Kitchen"}},
	{"Food > French Restaurant", 3, [kinds]float64{6, 2, 3, 5, 1}, []span{{daily &^ monday, h(12), h(14.5)}, {daily &^ sunday, h(19), h(23)}},
		[]service{{lunch, .3}, {dinner, 1}}, []string{"Chez %p", "Le Petit %n", "Bistro %n"}},
	{"Food > Italian Restaurant", 2.5, [kinds]float64{5, 3, 3, 5, 1}, []span{{daily, h(11.5), h(15)}, {daily, h(18), h(23)}},
		[]service{{lunch, .4}, {dinner, 1}}, []string{"Trattoria %p", "Osteria %n", "Da %p"}},
	{"Food > Ramen Restaurant", 1.8, [kinds]float64{5, 1, 4, 6, .5}, []span{{daily &^ monday, h(11.5), h(23)}},
		[]service{{lunch, .5}, {dinner, .8}}, []string{"%a Ramen", "%n Noodles", "Ramen %p"}},
	{"Food > Burger Joint", 2.2, [kinds]float64{5, 3, 3, 6, 1}, []span{{daily, h(11), h(24)}},
		[]service{{lunch, .6}, {dinner, .8}}, []string{"%a Burger", "%p's Grill", "Burger %n"}},
	{"Nightlife > Bar", 3.5, [kinds]float64{4, .8, 1, 9, .3}, []span{{daily &^ nightsOut, h(17), h(25)}, {nightsOut, h(17), h(27)}},
		[]service{{drinks, 1}}, []string{"The %a %n", "Bar %p", "%n & Co."}},
	{"Nightlife > Pub", 2, [kinds]float64{4, 2, 1, 6, .5}, []span{{daily, h(15), h(25)}},
		[]service{{drinks, .7}, {dinner, .15}}, []string{"The %n Arms", "%a %n Pub", "The %p Inn"}},
	{"Nightlife > Club", 1, [kinds]float64{2, .1, .5, 9, .1}, []span{{1<<time.Thursday | nightsOut, h(22), h(29.5)}},
		[]service{{club, 1}}, []string{"Club %n", "%a Room", "%n Cellar"}},
	{"Shop > Supermarket", 3.5, [kinds]float64{3, 6, 2, 2, 1}, []span{{daily &^ sunday, h(7.5), h(21.5)}, {sunday, h(9), h(13)}},
		[]service{{groceries, 1}}, []string{"%n Market", "%h Supermarket", "Fresh %n"}},
	{"Shop > Corner Shop", 3, [kinds]float64{3, 6, 2, 4, 1}, []span{{daily, h(7), h(24)}},
		[]service{{groceries, .5}, {errand, .3}}, []string{"%p's Corner", "%h Express", "%a Corner"}},
	{"Shop > Clothing Store", 4, [kinds]float64{9, 1, 2, 3, .3}, []span{{daily &^ sunday, h(10), h(20)}},
		[]service{{shopping, 1}}, []string{"%n & Thread", "%p Atelier", "%a Wardrobe"}},
	{"Shop > Bookshop", 1.5, [kinds]float64{7, 1.5, 2, 2, 1}, []span{{daily &^ sunday, h(10), h(19.5)}},
		[]service{{shopping, .5}, {culture, .2}}, []string{"%p Books", "The %a Page", "%n Bookshop"}},
	{"Shop > Shopping Mall", .6, [kinds]float64{4, 3, 3, 1, .5}, []span{{daily &^ sunday, h(9.5), h(21)}, {sunday, h(11), h(19)}},
		[]service{{shopping, 1.2}, {groceries, .15}}, []string{"%n Galleria", "%h Mall"}},
	{"Sport > Gym", 2, [kinds]float64{4, 4, 5, 2, 1}, []span{{weekdays, h(6), h(23)}, {weekend, h(8), h(20)}},
		[]service{{sport, 1}}, []string{"%a Gym", "%n Fitness", "%h Athletics"}},
	{"Sport > Swimming Pool", .5, [kinds]float64{2, 4, 1, .5, 4}, []span{{weekdays, h(7), h(21.5)}, {weekend, h(9), h(18)}},
		[]service{{sport, .5}}, []string{"%h Baths", "%n Pool"}},
	{"Outdoors > Park", 3, [kinds]float64{2, 4, 1, .5, 9}, []span{{daily, h(6), h(22)}},
		[]service{{park, 1}, {sights, .3}}, []string{"%n Park", "%p Gardens", "%h Green"}},
	{"Outdoors > Playground", 1.5, [kinds]float64{1, 7, .3, .2, 5}, []span{{daily, h(7.5), h(20.5)}},
		[]service{{park, .5}}, []string{"%n Playground", "%h Playground"}},
	{"Arts > Cinema", .9, [kinds]float64{6, 1.5, 2, 5, .3}, []span{{daily, h(13), h(24.5)}},
		[]service{{culture, 1}}, []string{"Cinema %n", "The %a Screen", "%p Pictures"}},
	{"Arts > Museum", .9, [kinds]float64{7, .8, 1, 1, 4}, []span{{daily &^ monday, h(10), h(18)}},
		[]service{{culture, .6}, {sights, 1}}, []string{"Museum of %n", "%p Museum", "%h Gallery"}},
	{"Arts > Monument", .8, [kinds]float64{8, .6, 1, 2, 3}, always,
		[]service{{sights, .8}}, []string{"%n Bridge", "%p Square", "The %a %n"}},
	{"Health > Pharmacy", 2, [kinds]float64{4, 4, 3, 1, .5}, []span{{daily &^ sunday, h(8.5), h(20)}},
		[]service{{health, .7}, {errand, .5}}, []string{"%n Pharmacy", "%p Pharmacy", "%h Pharmacy"}},
	{"Health > Clinic", 1, [kinds]float64{3, 4, 3, .3, 1}, []span{{weekdays, h(8), h(19)}},
		[]service{{health, 1}}, []string{"%n Clinic", "Dr %p"}},
	{"Services > Post Office", .8, [kinds]float64{4, 4, 3, .5, .3}, []span{{weekdays, h(8.5), h(18.5)}, {saturday, h(9), h(13)}},
		[]service{{errand, .8}}, []string{"%h Post Office", "%n Street Post Office"}},
	{"Services > Hairdresser", 1.5, [kinds]float64{4, 5, 2, 2, .3}, []span{{daily &^ (sunday | monday), h(9), h(19)}},
		[]service{{errand, .8}}, []string{"%p Hair", "Studio %n", "The %a Comb"}},
	{"Travel > Hotel", 1.2, [kinds]float64{8, .6, 4, 3, .5}, always,
		[]service{{hotel, 1}}, []string{"Hotel %n", "The %a %n Hotel", "%p Rooms"}},
	{"Travel > Railway Station", .4, [kinds]float64{4, 1, 2, .5, .3}, always,
		[]service{{station, 1}}, []string{"%h Station", "%n Street Station"}},
}

// openAt reports whether one of the spans, moved by shift minutes, covers the
// local time given as a weekday and minutes after midnight.
func openAt(hours []span, shift int, day time.Weekday, minute int) bool {
	yesterday := (day + 6) % 7
	for _, s := range hours {
		open, end := s.open, s.close
		if open != 0 || end != minutesPerDay { // around the clock stays so
			open, end = open+shift, end+shift
		}
		if s.on.has(day) && minute >= open && minute < end {
			return true
		}
		if s.on.has(yesterday) && minute+minutesPerDay >= open && minute+minutesPerDay < end {
			return true
		}
	}
	return false
}
