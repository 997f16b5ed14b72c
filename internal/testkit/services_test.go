//go:build unix

package testkit_test

import (
	"net"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/whereto/whereto/internal/testkit"
)

// ask opens a connection to the server of an address; a server that is not there gives
// an error.
func ask(address string) error {
	u, err := url.Parse(address)
	if err != nil {
		return err
	}
	conn, err := net.Dial("tcp", u.Host)
	if err != nil {
		return err
	}
	return conn.Close()
}

func TestServersStartStopAndShare(t *testing.T) {
	for kind, shared := range map[string]func(testing.TB) string{"postgres": testkit.Postgres, "redis": testkit.Redis, "pgvector": testkit.Pgvector} {
		t.Run(kind, func(t *testing.T) {
			t.Setenv("WHERETO_TEST_PGVECTOR", "") // a server of ours is tried
			a, b := shared(t), shared(t)
			ua, errA := url.Parse(a)
			ub, errB := url.Parse(b)
			if errA != nil || errB != nil || ua.Host != ub.Host || a == b {
				t.Errorf("addresses %s and %s, want one server and two places", a, b)
			}
			if err := ask(a); err != nil {
				t.Errorf("the shared server: %v", err)
			}
			var own string
			t.Run("own", func(t *testing.T) {
				server := testkit.OwnServer(t, kind)
				own = map[string]func() string{"postgres": server.PostgresSchema, "redis": server.RedisPrefix, "pgvector": server.PostgresSchema}[kind]()
				if err := ask(own); err != nil {
					t.Errorf("its own server: %v", err)
				}
				server.Kill(t)
				if err := ask(own); err == nil {
					t.Error("the server answers after it was killed")
				}
				server.Restart(t)
				if err := ask(own); err != nil {
					t.Errorf("the server after a restart: %v", err)
				}
			})
			if err := ask(own); err == nil {
				t.Error("the server of a test that has ended answers")
			}
			if err := ask(a); err != nil {
				t.Errorf("the shared server afterwards: %v", err)
			}
		})
	}
}

// The script says where it would unpack, and both know the same place.
func TestServicesFolder(t *testing.T) {
	t.Setenv("WHERETO_SERVICES", "/some/where")
	script := filepath.Join(testkit.ModuleRoot(t), "internal", "testkit", "services.sh")
	said, err := exec.Command("sh", script, "folder").Output()
	if err != nil || strings.TrimSpace(string(said)) != "/some/where" {
		t.Errorf("the folder is %q, %v; want /some/where", said, err)
	}
	text, err := os.ReadFile(script)
	if err != nil || strings.Contains(string(text), "://") {
		t.Errorf("the script names a host, or cannot be read: %v", err)
	}
}
