package serve

import "testing"

func TestNearest(t *testing.T) {
	names := []string{"user", "history", "time", "lat", "lng", "k", "poi", "id"}
	for name, want := range map[string]string{"usr": "user", "pio": "poi", "User": "user", "historie": "history", "quux": "", "x": "k", "longitude": "", "": ""} {
		if got := nearest(name, names); got != want {
			t.Errorf("nearest to %q: %q, want %q", name, got, want)
		}
	}
}

func TestDistance(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0}, {"abc", "acb", 1}, {"abc", "axc", 1}, {"kitten", "sitting", 3}, {"ca", "abc", 3}} {
		if got := distance(tt.a, tt.b); got != tt.want {
			t.Errorf("%q to %q: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
}
