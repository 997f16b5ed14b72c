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
	{bread, weekend, 9.25, 30, .35}, {coffee, weekend, 10.3, 38, .4}, {groceries, weekend, 11, 38, .4},
	{lunch, weekend, 12.75, 30, .3}, {shopping, saturday, 14.5, 45, .35}, {park, weekend, 15.5, 52, .35},
	{culture, weekend, 16.5, 60, .15}, {drinks, saturday, 19, 38, .25}, {dinner, weekend, 20, 30, .4},
	{atHome, weekend, 18.2, 45, .4}, {atHome, weekend, 22.5, 45, .7},
}

// lives is the table of personas.
var lives = [personas]life{
	office: {slots: with(townWeekend,
		slot{coffee, weekdays, 8.3, 15, .45}, slot{atWork, weekdays, 9, 18, .85}, slot{lunch, weekdays, 12.5, 18, .7},
		slot{coffee, weekdays, 15.5, 30, .15}, slot{sport, weekdays, 18.3, 22, .3}, slot{groceries, weekdays, 19, 30, .3},
		slot{drinks, 1<<time.Thursday | friday, 19.2, 38, .3}, slot{dinner, weekdays, 20.2, 30, .22},
		slot{errand, weekdays, 17.7, 45, .1}, slot{atHome, weekdays, 18.6, 45, .4}, slot{atHome, weekdays, 21.5, 45, .7},
		slot{club, nightsOut, 24, 45, .05}),
		ages: []string{"25-34", "35-44", "45-54"}, occupations: []string{"clerk", "engineer", "manager", "designer", "consultant"},
		hours: .5, explore: 1, travel: .2},
	student: {slots: with(townWeekend,
		slot{atStudy, weekdays, 9.7, 30, .75}, slot{coffee, weekdays, 11, 30, .35}, slot{lunch, weekdays, 12.8, 22, .6},
		slot{atStudy, weekdays, 14.5, 30, .4}, slot{shopping, weekdays, 17, 45, .12}, slot{sport, weekdays, 18, 30, .3},
		slot{groceries, weekdays, 19.3, 45, .25}, slot{drinks, weekdays, 20.7, 45, .28}, slot{club, 1<<time.Thursday | nightsOut, 24.5, 45, .25},
		slot{atHome, weekdays, 17.2, 60, .35}, slot{atHome, weekdays, 22.7, 52, .6}),
		ages: []string{"18-24"}, occupations: []string{"student"}, hours: .7, explore: 1.25, travel: .15},
	parent: {slots: with(townWeekend,
		slot{schoolRun, weekdays, 8.3, 6, .75}, slot{coffee, weekdays, 8.9, 18, .35}, slot{atWork, weekdays, 9.4, 18, .6},
		slot{lunch, weekdays, 12.4, 22, .35}, slot{schoolRun, weekdays, 16.5, 8, .6}, slot{park, weekdays, 17.2, 30, .35},
		slot{groceries, weekdays, 18, 30, .45}, slot{health, weekdays, 15, 60, .08}, slot{atHome, weekdays, 20, 45, .6}),
		ages: []string{"25-34", "35-44"}, occupations: []string{"teacher", "nurse", "clerk", "at home"}, hours: .25, explore: .8, travel: .12},
	nightOwl: {slots: []slot{
		{coffee, daily, 12.5, 38, .5}, {lunch, daily, 14, 22, .35}, {atWork, weekdays, 14.8, 30, .6}, {groceries, daily, 19.5, 45, .3},
		{dinner, daily, 20.7, 38, .4}, {drinks, daily, 22.2, 45, .5}, {club, 1<<time.Thursday | nightsOut, 25, 52, .45},
		{atHome, daily, 18.6, 45, .4}, {atHome, daily, 27.5, 45, .5}, {culture, daily, 18, 45, .12}, {sport, daily, 17, 38, .15}},
		ages:        []string{"18-24", "25-34"},
		occupations: []string{"musician", "cook", "designer", "freelancer"}, hours: .8, explore: 1.2, travel: .15},
	retiree: {slots: []slot{
		{bread, daily, 8.2, 22, .5}, {park, daily, 9.7, 30, .45}, {coffee, daily, 10.7, 22, .4}, {groceries, daily, 11.5, 30, .4},
		{lunch, daily, 12.5, 18, .2}, {culture, daily, 15, 38, .18}, {park, daily, 16, 45, .25}, {coffee, daily, 16.2, 45, .15},
		{health, weekdays, 10, 45, .15}, {errand, weekdays, 14, 45, .15}, {dinner, weekend, 19.5, 30, .2},
		{atHome, daily, 13.6, 45, .4}, {atHome, daily, 18.3, 60, .6}},
		ages: []string{"65+"}, occupations: []string{"retired"}, hours: .6, explore: .7, travel: .15},
	tourist: {slots: with(townWeekend,
		slot{atWork, weekdays, 9, 22, .6}, slot{coffee, weekdays, 8.3, 22, .3}, slot{lunch, weekdays, 12.5, 22, .4},
		slot{groceries, weekdays, 18.5, 38, .3}, slot{atHome, weekdays, 21, 45, .5}),
		ages: []string{"25-34", "35-44", "55-64"}, occupations: []string{"engineer", "teacher", "shopkeeper"}, hours: .5, explore: 1.2, travel: 1},
}

// awaySlots is a day in the town one visits.
var awaySlots = []slot{
	{coffee, daily, 9.2, 30, .7}, {sights, daily, 10.7, 30, .8}, {lunch, daily, 12.9, 22, .7}, {culture, daily, 14.7, 38, .4},
	{sights, daily, 15.2, 45, .5}, {shopping, daily, 16.7, 38, .4}, {drinks, daily, 18.7, 30, .4}, {dinner, daily, 20.2, 30, .8},
	{hotel, daily, 22.7, 45, .7},
}

// with joins the slots of a weekend and a persona's own.
func with(common []slot, own ...slot) []slot {
	return append(append([]slot(nil), own...), common...)
}
