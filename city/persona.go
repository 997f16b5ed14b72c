package city

import "time"

// persona is a way of life.
type persona uint8

const (
	office persona = iota
	student
	parent
	nightOwl
	retiree
	tourist
	personas // how many there are
)

// String returns the persona's name as in the recipe.
func (p persona) String() string {
	return [...]string{"office", "student", "parent", "night_owl", "retiree", "tourist"}[p]
}

// slot is an hour of the week with a purpose. Chance is the average over people:
// each person does it nearly always or hardly ever on a given weekday.
type slot struct {
	purpose purpose
	on      days
	hour    float64 // local; 24 and more is after midnight
	spread  float64 // minutes, from day to day
	chance  float64
}

// life is what a persona's people have in common.
type life struct {
	slots       []slot
	ages        []string
	occupations []string
	hours       float64 // standard deviation of a person's own clock, hours
	explore     float64 // factor on the rate of exploring
	travel      float64 // probability of at least one trip
}

// townWeekend is a free weekend, shared by those who keep usual hours.
var townWeekend = []slot{
	{bread, weekend, 9.25, 20, .35}, {coffee, weekend, 10.3, 25, .4}, {groceries, weekend, 11, 25, .4},
	{lunch, weekend, 12.75, 20, .3}, {shopping, saturday, 14.5, 30, .35}, {park, weekend, 15.5, 35, .35},
	{culture, weekend, 16.5, 40, .15}, {drinks, saturday, 19, 25, .25}, {dinner, weekend, 20, 20, .4},
	{atHome, weekend, 22.5, 30, .6},
}

// lives is the table of personas.
var lives = [personas]life{
	office: {slots: with(townWeekend,
		slot{coffee, weekdays, 8.3, 10, .45}, slot{atWork, weekdays, 9, 12, .85}, slot{lunch, weekdays, 12.5, 12, .7},
		slot{coffee, weekdays, 15.5, 20, .15}, slot{sport, weekdays, 18.3, 15, .3}, slot{groceries, weekdays, 19, 20, .3},
		slot{drinks, 1<<time.Thursday | friday, 19.2, 25, .3}, slot{dinner, weekdays, 20.2, 20, .22},
		slot{errand, weekdays, 17.7, 30, .1}, slot{atHome, weekdays, 21.5, 30, .6}, slot{club, nightsOut, 24, 30, .05}),
		ages: []string{"25-34", "35-44", "45-54"}, occupations: []string{"clerk", "engineer", "manager", "designer", "consultant"},
		hours: .5, explore: 1, travel: .2},
	student: {slots: with(townWeekend,
		slot{atStudy, weekdays, 9.7, 20, .75}, slot{coffee, weekdays, 11, 20, .35}, slot{lunch, weekdays, 12.8, 15, .6},
		slot{atStudy, weekdays, 14.5, 20, .4}, slot{shopping, weekdays, 17, 30, .12}, slot{sport, weekdays, 18, 20, .3},
		slot{groceries, weekdays, 19.3, 30, .25}, slot{drinks, weekdays, 20.7, 30, .28}, slot{club, 1<<time.Thursday | nightsOut, 24.5, 30, .25},
		slot{atHome, weekdays, 22.7, 35, .5}),
		ages: []string{"18-24"}, occupations: []string{"student"}, hours: .7, explore: 1.25, travel: .15},
	parent: {slots: with(townWeekend,
		slot{schoolRun, weekdays, 8.3, 6, .75}, slot{coffee, weekdays, 8.9, 12, .35}, slot{atWork, weekdays, 9.4, 12, .6},
		slot{lunch, weekdays, 12.4, 15, .35}, slot{schoolRun, weekdays, 16.5, 8, .6}, slot{park, weekdays, 17.2, 20, .35},
		slot{groceries, weekdays, 18, 20, .45}, slot{health, weekdays, 15, 40, .08}, slot{atHome, weekdays, 20, 30, .6}),
		ages: []string{"25-34", "35-44"}, occupations: []string{"teacher", "nurse", "clerk", "at home"}, hours: .25, explore: .8, travel: .12},
	nightOwl: {slots: []slot{
		{coffee, daily, 12.5, 25, .5}, {lunch, daily, 14, 15, .35}, {atWork, weekdays, 14.8, 20, .6}, {groceries, daily, 19.5, 30, .3},
		{dinner, daily, 20.7, 25, .4}, {drinks, daily, 22.2, 30, .5}, {club, 1<<time.Thursday | nightsOut, 25, 35, .45},
		{atHome, daily, 27.5, 30, .4}, {culture, daily, 18, 30, .12}, {sport, daily, 17, 25, .15}},
		ages: []string{"18-24", "25-34"}, occupations: []string{"musician", "cook", "designer", "freelancer"}, hours: .8, explore: 1.2, travel: .15},
	retiree: {slots: []slot{
		{bread, daily, 8.2, 15, .5}, {park, daily, 9.7, 20, .45}, {coffee, daily, 10.7, 15, .4}, {groceries, daily, 11.5, 20, .4},
		{lunch, daily, 12.5, 12, .2}, {culture, daily, 15, 25, .18}, {park, daily, 16, 30, .25}, {coffee, daily, 16.2, 30, .15},
		{health, weekdays, 10, 30, .15}, {errand, weekdays, 14, 30, .15}, {dinner, weekend, 19.5, 20, .2}, {atHome, daily, 18.3, 40, .5}},
		ages: []string{"65+"}, occupations: []string{"retired"}, hours: .6, explore: .7, travel: .15},
	tourist: {slots: with(townWeekend,
		slot{atWork, weekdays, 9, 15, .6}, slot{coffee, weekdays, 8.3, 15, .3}, slot{lunch, weekdays, 12.5, 15, .4},
		slot{groceries, weekdays, 18.5, 25, .3}, slot{atHome, weekdays, 21, 30, .5}),
		ages: []string{"25-34", "35-44", "55-64"}, occupations: []string{"engineer", "teacher", "shopkeeper"}, hours: .5, explore: 1.2, travel: 1},
}

// awaySlots is a day in the town one visits.
var awaySlots = []slot{
	{coffee, daily, 9.2, 20, .7}, {sights, daily, 10.7, 20, .8}, {lunch, daily, 12.9, 15, .7}, {culture, daily, 14.7, 25, .4},
	{sights, daily, 15.2, 30, .5}, {shopping, daily, 16.7, 25, .4}, {drinks, daily, 18.7, 20, .4}, {dinner, daily, 20.2, 20, .8},
	{hotel, daily, 22.7, 30, .7},
}

// with joins the slots of a weekend and a persona's own.
func with(common []slot, own ...slot) []slot {
	return append(append([]slot(nil), own...), common...)
}
