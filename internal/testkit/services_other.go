//go:build !unix

package testkit

import "testing"

// Server is a database server on loopback; see services.go. Here none is started.
type Server struct{}

// Postgres skips the test.
func Postgres(t testing.TB) string { t.Helper(); OwnServer(t, "postgres"); return "" }

// Redis skips the test.
func Redis(t testing.TB) string { t.Helper(); OwnServer(t, "redis"); return "" }

// Pgvector skips the test.
func Pgvector(t testing.TB) string { t.Helper(); OwnServer(t, "pgvector"); return "" }

// OwnServer skips the test.
func OwnServer(t testing.TB, kind string) *Server {
	t.Helper()
	t.Skipf("tests start a %s server on Unix only", kind)
	return nil
}

// PostgresSchema is never called.
func (*Server) PostgresSchema() string { return "" }

// RedisPrefix is never called.
func (*Server) RedisPrefix() string { return "" }

// Start is never called.
func (*Server) Start() error { return nil }

// Kill is never called.
func (*Server) Kill(testing.TB) {}

// Restart is never called.
func (*Server) Restart(testing.TB) {}
