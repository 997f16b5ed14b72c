//go:build unix

package testkit

import (
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// PgvectorEnv names a PostgreSQL server with pgvector to test on, such as one newer than
// services.sh fetches: the address of a database to throw away, as a URL. Its user must be
// allowed to make schemas.
const PgvectorEnv = "WHERETO_TEST_PGVECTOR"

// Pgvector returns the address of a schema of this test's own, on a PostgreSQL server with
// pgvector that all tests of the binary share. Without one the test is skipped.
func Pgvector(t testing.TB) string {
	t.Helper()
	given := os.Getenv(PgvectorEnv)
	if given == "" {
		return shared(t, "pgvector").PostgresSchema()
	}
	u, err := url.Parse(given)
	if err != nil {
		t.Fatalf("%s is not a URL", PgvectorEnv) // nor repeated: it may hold a password
	}
	q := u.Query()
	q.Set("search_path", fmt.Sprintf("whereto_test_%d_%d", os.Getpid(), services.names.Add(1)))
	u.RawQuery = q.Encode()
	return u.String()
}

// findPgvector returns the path of a PostgreSQL server that has the extension, and the
// folder of its libraries, empty for those of the system.
func findPgvector() (path, library string, err error) {
	cache, err := servicesFolder()
	if err != nil {
		return "", "", err
	}
	path, library, err = findProgram("postgres", "postgres")
	if err == nil && hasVector(path) {
		return path, library, nil
	}
	path = filepath.Join(cache, "pgvector/pgserver/pginstall/bin/postgres")
	if hasVector(path) {
		return path, "", nil
	}
	return "", "", fmt.Errorf("%w: no PostgreSQL here has the extension pgvector, nor is there one in %s", errLacking, cache)
}

// hasVector reports whether the extension lies where a server of this path looks for it:
// beside it, or where Debian keeps it.
func hasVector(postgres string) bool {
	root := filepath.Dir(filepath.Dir(postgres))
	before, version, _ := strings.Cut(root, "/lib/postgresql/")
	for _, share := range []string{filepath.Join(root, "share"), filepath.Join(root, "share/postgresql"), filepath.Join(before, "share/postgresql", version)} {
		if _, err := os.Stat(filepath.Join(share, "extension/vector.control")); err == nil {
			return true
		}
	}
	return false
}
