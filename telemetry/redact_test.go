package telemetry

import "testing"

// Whoever runs a service reads his settings: paths stay, secrets go.
func TestRedact(t *testing.T) {
	for text, want := range map[string]string{
		"sqlite:/home/users/ann/where.db":   "sqlite:/home/users/ann/where.db",
		"postgres://u:hunter2@db/where":     "postgres://[redacted]@db/where",
		"redis://db/0?password=hunter2":     "redis://db/0?password=[redacted]",
		"127.0.0.1:8080":                    "127.0.0.1:8080",
		"wt_app_abcdefghijklmnopqrstuvwxyz": Redacted,
	} {
		if got := Redact(text); got != want {
			t.Errorf("%s became %s, want %s", text, got, want)
		}
	}
}
