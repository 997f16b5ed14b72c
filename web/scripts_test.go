package web_test

import (
	"encoding/json"
	"testing"

	"github.com/whereto/whereto/web"
)

// TestScripts checks functions of the page that need no page, in the browser that runs
// them: each expression and its value.
func TestScripts(t *testing.T) {
	p := open(t, 800, 600, false, newFake().start(t, web.Options{})+"/map/status.html")
	p.wait("!document.querySelector('#status').hidden")
	eval[bool](p, `(async () => {
		globalThis.moment = await import("/map/js/moment.js");
		globalThis.words = await import("/map/js/words.js");
		globalThis.hash = await import("/map/js/hash.js");
		globalThis.geometry = await import("/map/js/geometry.js");
		globalThis.spread = await import("/map/js/spread.js");
		globalThis.dayline = await import("/map/js/dayline.js");
		globalThis.gauges = await import("/map/js/gauges.js");
		globalThis.places = await import("/map/js/places.js");
		globalThis.answers = await import("/map/js/answers.js");
		globalThis.at = (text) => moment.parse(text);
		globalThis.after = (text, day, minute) => moment.format(moment.next(at(text), day, minute));
		return true;
	})()`)
	for _, c := range []struct{ expression, want string }{
		{`moment.format(at("2013-02-01T12:30:00-05:00"))`, `"2013-02-01T12:30:00-05:00"`},
		{`moment.format(at("2013-02-01T12:30:59.25Z"))`, `"2013-02-01T12:30:59+00:00"`},
		{`moment.format(at("1969-12-31T23:59:00+05:30"))`, `"1969-12-31T23:59:00+05:30"`},
		{`at("2013-02-01 12:30")`, `null`},
		{`at(undefined)`, `null`},
		{`moment.instant(at("2013-02-01T12:30:00-05:00")) - Date.parse("2013-02-01T17:30:00Z")`, `0`},
		{`moment.weekday(at("2013-02-01T23:30:00-05:00"))`, `4`},
		{`moment.weekday(at("1969-12-28T00:00:00Z"))`, `6`},
		{`moment.minutes(at("1969-12-28T18:05:00Z"))`, `1085`},
		{`after("2013-02-01T12:30:00-05:00", 4, 18 * 60)`, `"2013-02-01T18:00:00-05:00"`},
		{`after("2013-02-01T12:30:00-05:00", 4, 750)`, `"2013-02-08T12:30:00-05:00"`},
		{`after("2013-02-01T12:30:00-05:00", 4, 0)`, `"2013-02-08T00:00:00-05:00"`},
		{`after("2013-02-01T12:30:00-05:00", 3, 60)`, `"2013-02-07T01:00:00-05:00"`},
		{`after("2013-12-31T12:30:00+08:00", 2, 60)`, `"2014-01-01T01:00:00+08:00"`},
		{`moment.format(moment.onTheHalf(at("2013-02-01T12:31:00-05:00"), 60))`, `"2013-02-01T14:00:00-05:00"`},
		{`moment.words(at("2013-02-01T08:05:00-05:00"))`, `"Fri 1 Feb 2013, 08:05"`},
		{`moment.zoneWords(at("2013-02-01T08:05:00+05:30"))`, `"UTC+05:30"`},

		{`[0.314, 0.0421, 0.00083, 0.00002, 0, 1, 0.997, NaN].map(words.percent)`, `["31 %","4.2 %","0.083 %","< 0.01 %","0 %","100 %","> 99 %","-"]`},
		{`[0.0312, -0.2, 0.000001].map(words.points)`, `["+3.1 points","-20 points","no change"]`},
		{`[4, 84, 994, 996, 1234, 14400, 1234567, undefined].map(words.distance)`, `["4 m","80 m","990 m","1.0 km","1.2 km","14 km","1,235 km",""]`},
		{`[0, 999, 1000, 1234567].map(words.count)`, `["0","999","1,000","1,234,567"]`},
		{`[words.plural(1, "action"), words.plural(1200, "action")]`, `["1 action","1,200 actions"]`},
		{`words.leaf("Food > Noodles > Ramen")`, `"Ramen"`},
		{`[{name: "Blue Door", category: "Food > Bar"}, {category: "Food > Bar"}, {category: "Residential Building (Apartment / Condo)"}, {category: "Home (private)"}, {category: "Unknown"}, {}].map(words.title)`,
			`["Blue Door","Bar","Residential Building","Home (private)","Place of unknown kind","Place of unknown kind"]`},
		{`[0.07, 12.34, 1412].map(words.megabytes)`, `["0.07 MB","12 MB","1,412 MB"]`},
		{`["40.73, -73.99", "40.73 -73.99", "-12;170", "91, 0", "40", "a, b", ""].map(words.readPosition)`,
			`[{"lat":40.73,"lng":-73.99},{"lat":40.73,"lng":-73.99},{"lat":-12,"lng":170},null,null,null,null]`},
		{`[0.42, 8.13, 1204, 0].map(words.milliseconds)`, `["0.42 ms","8.1 ms","1.2 s","-"]`},
		{`[0, 59, 60, 3725, 90000, 86400].map(words.duration)`, `["0 s","59 s","1 min","1 h 2 min","1 d 1 h","1 d"]`},

		{`hash.write(hash.emptyState())`, `""`},
		{`hash.read(hash.write({user: "a&b=c é", history: [{poi: "x@y", time: "2013-02-01T12:30:00-05:00"}], k: 7, compare: true, view: {zoom: 12.345, lat: 40.7312345, lng: -73.9}, panes: [{day: 4, minute: 750, at: {lat: 1.5, lng: -2.25}, model: "m 1", poi: "p#1"}, {day: null, minute: null, at: null, model: "", poi: ""}]}))`,
			`{"user":"a&b=c é","history":[{"poi":"x@y","time":"2013-02-01T12:30:00-05:00"}],"k":7,"compare":true,"view":{"zoom":12.35,"lat":40.73123,"lng":-73.9},"panes":[{"day":4,"minute":750,"at":{"lat":1.5,"lng":-2.25},"model":"m 1","poi":"p#1"},{"day":null,"minute":null,"at":null,"model":"","poi":""}]}`},
		{`JSON.stringify(hash.read("#k=51&v=1/2&at=7-0&ap=91,0&h=@&c=yes&%")) === JSON.stringify(hash.emptyState())`, `true`},

		{`[6, 0.6, 0.1, 360].map(geometry.gridStep)`, `[1,0.1,0.02,30]`},
		{`[geometry.degrees(-73.98, 0.02, "EW"), geometry.degrees(40, 1, "NS")]`, `["73.98° W","40° N"]`},
		{`[0, 0.009, 0.01, 0.06, 0.2, 0.5].map(geometry.shade)`, `[0,0,1,2,3,4]`},
		{`geometry.heart({south: 0, north: 2, west: 179, east: -179, inners: []})`, `{"lat":1,"lng":180}`},
		{`geometry.heart({south: 0, north: 9, west: 0, east: 9, inners: [{lat: 1, lng: 2, probability: 0.75}, {lat: 5, lng: 6, probability: 0.25}]})`, `{"lat":2,"lng":3}`},
		{`geometry.glow([{probability: 0.5, inners: [{lat: 1, lng: 2, probability: 0.4}]}]).features.map(f => [f.geometry.coordinates, f.properties])`, `[[[2,1],{"probability":0.2,"shade":4}]]`},
		{`[0, 0.25, 1].map(geometry.radius)`, `[9,15.5,22]`},
		{`geometry.blockAreas([{block: "b", south: 0, north: 1, west: 179, east: -179, probability: 0.2}]).features[0].geometry.coordinates[0][1]`, `[181,0]`},
		{`geometry.beamLines({lat: 0, lng: 0}, [{south: 1, north: 3, west: 1, east: 3, probability: 0.5, inners: [{lat: 1, lng: 1, probability: 0.5}]}]).features.map(f => [f.geometry.coordinates, f.properties.probability])`, `[[[[0,0],[1,1]],0.5],[[[1,1],[1,1]],0.25]]`},
		{`geometry.pastLine([{poi: "a", lat: 1, lng: 2}, {poi: "b", lat: 1, lng: 3}, {poi: "a", lat: 1, lng: 2}]).features.map(f => f.properties.visits ?? f.geometry.coordinates.length)`, `[3,2,1]`},

		{`(() => { const out = spread.spread([{x: 0, y: 0, r: 20, fixed: true}, ...Array.from({length: 12}, (_, i) => ({x: i % 2, y: 0, r: 10}))]); return [out[0].x, out[0].y, out.every((a, i) => out.slice(i + 1).every((b) => Math.hypot(a.x - b.x, a.y - b.y) > a.r + b.r))]; })()`, `[0,0,true]`},
		{`spread.spread([{x: 0, y: 0, r: 10}, {x: 50, y: 0, r: 10}])`, `[{"x":0,"y":0,"r":10},{"x":50,"y":0,"r":10}]`},
		{`dayline.runs(["a", "a", "b", "a"].map((poi, i) => ({minute: 60 * i, first: {poi}}))).map((r) => [r.from, r.to, r.first.poi])`, `[[0,120,"a"],[120,180,"b"],[180,240,"a"]]`},
		{`[["whereto_kv_bytes", 442400], ["whereto_expected_hit_ratio", 0.389], ["another", 1.23456]].map(([n, v]) => gauges.gaugeWords(n, v)).map((g) => [g.text, g.value])`,
			`[["memory of kept pasts","0.44 MB"],["first place right, as the model expects","39 %"],["another","1.235"]]`},
		{`(places.learn([{id: "x", category: "Food > Bar"}, {id: "y", name: "Blue Door"}]), [places.byName("bar x").id, places.byName("Blue Door").id, places.byName("Bar") ?? null, places.nameOf("x"), places.nameOf("z")])`, `["x","y",null,"Bar","z"]`},

		{`answers.rankChange({poi: "a", rank: 2}, null)`, `null`},
		{`[[{source: "copy", distance_m: 80}, 3], [{source: "copy"}, 0], [{source: "generate", name: "A", category: "Bar"}, 1], [{source: "cold"}, 0]].map(([p, n]) => [answers.sortOf(p, n), answers.what(p, n)])`,
			`[["before","80 m · 3 visits"],["new","never been"],["before","Bar · 1 visit"],["cold","new to the model"]]`},
		{`[["a", 2], ["b", 1], ["c", 3], ["d", 4]].map(([poi, rank]) => answers.rankChange({poi, rank}, new Map([["a", 1], ["b", 4], ["c", 3]])).text)`, `["▼ 1","▲ 3","=","only here"]`},
	} {
		var want any
		if err := json.Unmarshal([]byte(c.want), &want); err != nil {
			t.Fatalf("%s: %v", c.want, err)
		}
		canonical, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		var got any
		if err := json.Unmarshal([]byte(plain(eval[string](p, "JSON.stringify("+c.expression+") ?? 'null'"))), &got); err != nil {
			t.Fatalf("%s: %v", c.expression, err)
		}
		if has, err := json.Marshal(got); err != nil || string(has) != string(canonical) {
			t.Errorf("%s = %s, want %s (%v)", c.expression, has, canonical, err)
		}
	}
}
