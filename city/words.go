package city

// phrasings are clauses by which a review tells of an attribute. Each attribute
// has many, with few words in common, so that no single word gives it away.
var phrasings = [attributes][]string{
	hotSpring: {
		"the warm mineral water comes straight out of the ground", "we soaked in the thermal bath until our fingers wrinkled",
		"steam rises from a natural pool behind the house", "a real hot spring, at thirty-nine degrees",
		"bring a towel, there is a geothermal basin", "they heat nothing, the source is volcanic",
		"an onsen in all but name", "my sore back was grateful for the sulphur bath",
	},
	liveMusic: {
		"a jazz trio plays on some evenings", "somebody always sits at the piano", "there was a singer with a guitar",
		"live music twice a week", "the string quartet took requests", "local bands get their first gig here",
		"we stayed for the second set", "an accordion player had everyone humming",
	},
	terrace: {
		"the terrace catches the last of the sun", "we sat outside under the plane trees", "there is a walled courtyard with tables",
		"a roof deck opens in spring", "they put chairs on the pavement", "al fresco from March on",
		"ask for a seat on the patio", "parasols and a breeze in the open air",
	},
	vegan: {
		"everything they offer is plant-based", "oat milk without a raised eyebrow", "vegan choices are marked with a leaf",
		"no animal products anywhere", "the tofu convinced even my uncle", "the lentil thing is dairy-free and wonderful",
		"meat-free and proud of it", "cashew cheese, who would have thought",
	},
	familyFriendly: {
		"there is a corner with toys and crayons", "our kids did not want to leave", "high chairs without having to ask",
		"plenty of room for a buggy", "the staff are patient with toddlers", "a changing table, at last",
		"children get a small gift", "my little ones drew on the paper they were handed",
	},
	quiet: {
		"you can hear yourself think", "hushed like a library", "nobody raises a voice in here",
		"a peaceful hour away from the traffic", "no music, no chatter, bliss", "so calm that I finished my novel",
		"silence, apart from a clock", "restful is the word",
	},
	fineView: {
		"you look out over the whole valley", "the panorama alone is worth the stairs", "from the window we watched the river turn gold",
		"it overlooks the roofs of the old town", "on clear days you see the mountains", "what a skyline",
		"sunset from up there is unforgettable", "the scenery did most of the talking",
	},
	openLate: {
		"still going at two in the morning", "they let us in long past midnight", "perfect after a night shift",
		"when all else has closed this has not", "a friend of insomniacs", "we came in the small hours",
		"doors stay open till dawn", "after hours it gets going",
	},
	bargain: {
		"we paid next to nothing", "kind to the wallet", "half of what the neighbours ask",
		"cheap and not ashamed of it", "students know why they come", "a discount for no reason at all",
		"you will not find better value", "change left from a tenner",
	},
	refined: {
		"white linen and polished silver", "the service is impeccable", "one wants to dress up for it",
		"marble, velvet and low voices", "elegant without being stiff", "they remembered our names and took our coats",
		"every detail is thought through, down to the orchids", "a touch of luxury",
	},
	dogsWelcome: {
		"our terrier was given a bowl of water", "the puppy had more attention than we did", "four-legged guests are greeted first",
		"a biscuit for the spaniel", "dogs are allowed and it shows", "hooks by the door for a leash",
		"my hound slept under the bench", "they keep treats for pets behind the counter",
	},
	craftDrinks: {
		"they brew their own in the cellar", "the natural wine list is long", "small-batch gin from down the road",
		"eight local beers on tap", "beans roasted on the spot, single origin", "cider from a press we had seen that morning",
		"the kombucha is fermented in house", "hoppy, cloudy and made by the owner",
	},
}

// tellingTags name an attribute among the tags.
var tellingTags = [attributes][]string{
	hotSpring: {"thermal", "hot spring", "spa"}, liveMusic: {"live music", "concerts", "gigs"}, terrace: {"terrace", "outdoor seating", "patio"},
	vegan: {"vegan", "plant-based"}, familyFriendly: {"families", "children welcome", "kids"}, quiet: {"quiet", "calm", "peaceful"},
	fineView: {"view", "panorama", "scenic"}, openLate: {"late night", "open late"}, bargain: {"bargain", "cheap", "good value"},
	refined: {"elegant", "fine", "upscale"}, dogsWelcome: {"dogs welcome", "pet friendly"}, craftDrinks: {"craft beer", "natural wine", "house brewed"},
}

// denied are clauses that name an attribute to say that it is missing.
var denied = [attributes]string{
	"do not expect a hot spring", "no live music on our visit", "a pity there is no terrace", "little for vegan guests",
	"not a place for children", "anything but quiet", "no view to speak of", "it closes before midnight, sadly", "not cheap", "nothing elegant about it",
	"dogs had to wait outside", "no craft beer, only the usual brands",
}

// frames put a clause into a sentence.
var frames = []string{
	"%s.", "%s, which made our day.", "Good to know: %s.", "What I liked: %s.", "And %s!", "We noticed that %s.", "As a friend had promised, %s.",
	"%s, and that is why we come back.",
}

// chatter is what people say of any place of a group.
var chatter = [groups][]string{
	food: {"The soup came hot and quickly", "The portions are fair", "The waiter forgot the bread but not the smile", "We ordered the dish of the day",
		"A short menu, well cooked", "The dessert was the best part", "It was busy at noon", "The coffee after was strong"},
	night: {"The crowd was mixed", "We waited a while at the bar", "Good mood all evening", "The barman knows his trade", "It filled up after ten",
		"The lights are low", "We met old friends there", "The glasses were clean"},
	shops: {"The shelves are well sorted", "I found what I needed", "The queue moved fast", "They wrapped it nicely", "The staff gave honest advice",
		"A decent choice", "They had my size", "I came for one thing and left with three"},
	moving: {"The changing rooms are clean", "The trainer knows what he does", "It gets full after work", "I go twice a week", "The equipment is in order",
		"The showers are fine", "A good sweat", "The lockers take a coin"},
	outdoors: {"The paths are well kept", "A nice round on a Sunday", "Bring good shoes", "The benches were all taken", "In spring everything flowers",
		"The ducks have no fear", "The lawn was freshly mown", "We walked off our lunch"},
	arts: {"The programme changes often", "We stayed longer than planned", "The guide was a pleasure", "The seats could be softer", "A small but good collection",
		"The tickets were easy to get", "The last room is the best", "I would see it again"},
	staying: {"The bed was good", "Breakfast until ten", "The reception was helpful", "Close to the station", "The room was small but clean",
		"We slept well", "The lift is slow", "Check-in took a minute"},
	plain: {"It is what it is", "They were on time", "The entrance is round the corner", "The signs could be clearer", "Everything in order",
		"The waiting time was bearable", "Friendly at the desk", "Ask at the door"},
}

// verdicts open or close a review.
var verdicts = []string{"We will be back.", "Recommended.", "Four stars from me.", "Nothing special, nothing wrong.", "A solid place.", "My aunt loved it.",
	"Better than it looks.", "Worth a detour.", "It was fine.", "I had expected more.", "A find!", "Same as ever."}

// genericTags say nothing that the category does not.
var genericTags = []string{"popular", "central", "cards accepted", "step-free", "since 1987", "renovated", "bus stop near", "wifi", "local favourite", "on the corner"}

// streetEnds are the last words of street names.
var streetEnds = []string{"Street", "Lane", "Road", "Row", "Avenue", "Place", "Walk", "Passage"}
