//go:build unix

package testkit

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// patience is how long a server may take to come up on a busy machine.
const patience = 2 * time.Minute

// Server is a database server on loopback, with a folder of its own.
type Server struct {
	kind    string
	port    int
	dir     string
	command func(*Server) []string
	ready   func(*Server, int) bool // of a process id
	stop    string                  // signal that ends it for good
	library string                  // LD_LIBRARY_PATH of a server from the cache folder
	as      *syscall.Credential

	keeper *exec.Cmd // runs the server; see keeperScript
	line   io.WriteCloser
	pid    int
}

// keeperScript runs a server and ends it, folder and all, when its own input ends: that
// happens even if the test binary is killed, so no server outlives the tests. The word
// keep spares the folder.
const keeperScript = `stop=$1 dir=$2; shift 2
"$@" >>"$dir/log" 2>&1 </dev/null & pid=$!
echo $pid
read -r word
kill -$stop $pid 2>/dev/null
wait $pid
[ "$word" = keep ] || rm -rf "$dir"`

// services are the servers that all tests of a binary share.
var services struct {
	sync.Mutex
	running map[string]*Server
	names   atomic.Int64
}

// Postgres returns the address of a PostgreSQL schema of this test's own, on a server
// that all tests of the binary share. Without PostgreSQL the test is skipped.
func Postgres(t testing.TB) string {
	t.Helper()
	return shared(t, "postgres").PostgresSchema()
}

// Redis returns the address of a prefix of this test's own, on a Redis server that all
// tests of the binary share. Without Redis the test is skipped.
func Redis(t testing.TB) string {
	t.Helper()
	return shared(t, "redis").RedisPrefix()
}

// PostgresSchema returns the address of a schema that is new.
func (s *Server) PostgresSchema() string {
	return fmt.Sprintf("postgres://whereto@127.0.0.1:%d/postgres?sslmode=disable&search_path=test_%d", s.port, services.names.Add(1))
}

// RedisPrefix returns the address of a prefix that is new.
func (s *Server) RedisPrefix() string {
	return fmt.Sprintf("redis://127.0.0.1:%d/0?prefix=test%d:", s.port, services.names.Add(1))
}

func shared(t testing.TB, kind string) *Server {
	t.Helper()
	services.Lock()
	defer services.Unlock()
	if s := services.running[kind]; s != nil {
		return s
	}
	s, err := newServer(kind)
	lacking(t, kind, err)
	if services.running == nil {
		services.running = map[string]*Server{}
	}
	services.running[kind] = s
	return s
}

// OwnServer starts a server, "postgres", "redis" or "pgvector", that this test alone uses and may
// kill. It ends with the test.
func OwnServer(t testing.TB, kind string) *Server {
	t.Helper()
	s, err := newServer(kind)
	lacking(t, kind, err)
	t.Cleanup(s.end)
	return s
}

var errLacking = errors.New("not on this machine")

// lacking skips a test whose server is not there, and fails it if there should be one:
// WHERETO_TEST_SERVICES=require says so.
func lacking(t testing.TB, kind string, err error) {
	t.Helper()
	switch {
	case err == nil:
	case errors.Is(err, errLacking) && os.Getenv("WHERETO_TEST_SERVICES") != "require":
		t.Skipf("no %s server: %v; run internal/testkit/services.sh to get one", kind, err)
	default:
		t.Fatalf("start a %s server: %v", kind, err)
	}
}

func newServer(kind string) (*Server, error) {
	var bin, library string
	var err error
	switch kind {
	case "postgres":
		bin, library, err = findProgram(kind, "postgres")
	case "redis":
		bin, library, err = findProgram(kind, "redis-server")
	case "pgvector":
		bin, library, err = findPgvector()
	default:
		err = fmt.Errorf("there is no service %q; choose postgres, redis or pgvector", kind)
	}
	if err != nil {
		return nil, err
	}
	s := &Server{kind: kind, library: library}
	if s.dir, err = os.MkdirTemp("", "whereto-"+kind+"-"); err != nil {
		return nil, err
	}
	switch kind {
	case "postgres", "pgvector":
		err = s.asPostgres(bin)
	case "redis":
		s.asRedis(bin)
	}
	if err == nil {
		err = s.Start()
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(s.dir))
	}
	return s, nil
}

// findProgram returns the path of a program and the folder of its libraries, empty for
// those of the system.
func findProgram(kind, program string) (path, library string, err error) {
	if path, err = exec.LookPath(program); err == nil {
		path, err = filepath.EvalSymlinks(path) // PostgreSQL's siblings lie beside the real file
		return path, "", err
	}
	places := []string{"/usr/lib/postgresql/*/bin/"}
	cache, err := servicesFolder()
	if err != nil {
		return "", "", err
	}
	places = append(places, filepath.Join(cache, kind, "usr/bin"), filepath.Join(cache, kind, "usr/lib/postgresql/*/bin"))
	for _, place := range places {
		found, err := filepath.Glob(filepath.Join(place, program))
		if err != nil || len(found) == 0 {
			continue
		}
		path = found[len(found)-1]
		if strings.HasPrefix(path, cache) {
			libraries, err := filepath.Glob(filepath.Join(cache, kind, "usr/lib/*-linux-gnu*"))
			return path, strings.Join(libraries, ":"), err
		}
		return path, "", nil
	}
	return "", "", fmt.Errorf("%w: %s is neither in the PATH nor in %s", errLacking, program, cache)
}

// servicesFolder is the cache folder of services.sh, which has the same rule.
func servicesFolder() (string, error) {
	if dir := os.Getenv("WHERETO_SERVICES"); dir != "" {
		return dir, nil
	}
	if os.Geteuid() == 0 {
		return "/var/cache/whereto/services", nil
	}
	if dir := os.Getenv("XDG_CACHE_HOME"); dir != "" {
		return filepath.Join(dir, "whereto/services"), nil
	}
	home, err := os.UserHomeDir()
	return filepath.Join(home, ".cache/whereto/services"), err
}

// asPostgres makes a database cluster. Its server refuses to run as root.
func (s *Server) asPostgres(bin string) error {
	if os.Geteuid() == 0 {
		nobody, err := user.Lookup("nobody")
		if err != nil {
			return fmt.Errorf("%w: the test runs as root and PostgreSQL does not: %w", errLacking, err)
		}
		uid, err1 := strconv.ParseUint(nobody.Uid, 10, 32)
		gid, err2 := strconv.ParseUint(nobody.Gid, 10, 32)
		if err := errors.Join(err1, err2, os.Chown(s.dir, int(uid), int(gid))); err != nil {
			return err
		}
		s.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	data := filepath.Join(s.dir, "data")
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	initdb := exec.CommandContext(ctx, filepath.Join(filepath.Dir(bin), "initdb"),
		"-D", data, "-U", "whereto", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync")
	s.dress(initdb)
	if said, err := initdb.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", initdb, err, said)
	}
	s.stop = "INT" // ends sessions rather than waiting for them
	s.command = func(s *Server) []string {
		return []string{bin, "-D", data, "-p", strconv.Itoa(s.port), "-k", s.dir, "-c", "listen_addresses=127.0.0.1",
			"-c", "shared_buffers=16MB", "-c", "max_connections=60"}
	}
	s.ready = func(_ *Server, pid int) bool {
		b, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
		lines := strings.Split(string(b), "\n")
		return err == nil && len(lines) > 7 && lines[0] == strconv.Itoa(pid) && strings.TrimSpace(lines[7]) == "ready"
	}
	return nil
}

func (s *Server) asRedis(bin string) {
	s.stop = "KILL" // it forgets a polite signal that comes while it begins a new log
	s.command = func(s *Server) []string {
		return []string{bin, "--port", strconv.Itoa(s.port), "--bind", "127.0.0.1", "--dir", s.dir, "--save", "",
			"--appendonly", "yes", "--appendfsync", "always"}
	}
	s.ready = func(s *Server, _ int) bool {
		conn, err := net.DialTimeout("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(s.port)), time.Second)
		if err != nil {
			return false
		}
		defer conn.Close()
		if err := conn.SetDeadline(time.Now().Add(time.Second)); err != nil {
			return false
		}
		if _, err := io.WriteString(conn, "PING\r\n"); err != nil {
			return false
		}
		answer, err := bufio.NewReader(conn).ReadString('\n')
		return err == nil && strings.HasPrefix(answer, "+PONG") // not while it reads its files
	}
}

// dress gives a command the server's user, libraries and folder.
func (s *Server) dress(cmd *exec.Cmd) {
	cmd.Dir = s.dir
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if s.library != "" {
		cmd.Env = append(cmd.Env, "LD_LIBRARY_PATH="+s.library)
	}
	// In a group of its own it is spared the signals that end the tests, and cleans up.
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: s.as, Setpgid: true}
}

// Start starts the server, after Kill on the same port with the same data, and waits
// until it answers.
func (s *Server) Start() error {
	deadline := time.Now().Add(patience)
	for {
		err := s.try(deadline)
		if err == nil || time.Now().After(deadline) {
			return err
		}
	}
}

// try starts the server once. It may end at once: another program has taken the port,
// or processes of a killed server have not gone yet.
func (s *Server) try(deadline time.Time) (err error) {
	if s.pid == 0 {
		if s.port, err = freePort(); err != nil {
			return err
		}
	}
	s.keeper = exec.Command("/bin/sh", append([]string{"-c", keeperScript, "keeper", s.stop, s.dir}, s.command(s)...)...)
	s.dress(s.keeper)
	if s.line, err = s.keeper.StdinPipe(); err != nil {
		return err
	}
	said, err := s.keeper.StdoutPipe()
	if err != nil {
		return err
	}
	if err := s.keeper.Start(); err != nil {
		return err
	}
	line, err := bufio.NewReader(said).ReadString('\n')
	if err != nil {
		return fmt.Errorf("the keeper of the server says nothing: %w", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		return err
	}
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for range tick.C {
		if s.ready(s, pid) && alive(pid) {
			s.pid = pid
			return nil
		}
		if !alive(pid) || time.Now().After(deadline) {
			log, _ := os.ReadFile(filepath.Join(s.dir, "log")) // only to say more
			return errors.Join(fmt.Errorf("%s did not come up on port %d: %s", s.kind, s.port, log), s.dismiss("keep"))
		}
	}
	return nil
}

// alive reports whether a process runs; one that has ended and was not waited for does
// not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if errors.Is(err, os.ErrNotExist) {
		if _, noProc := os.Stat("/proc/self"); noProc != nil {
			return syscall.Kill(pid, 0) == nil
		}
		return false
	}
	_, state, found := strings.Cut(string(b), ") ")
	return err == nil && found && !strings.HasPrefix(state, "Z")
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	return l.Addr().(*net.TCPAddr).Port, l.Close()
}

// dismiss tells the keeper to end the server and waits for it.
func (s *Server) dismiss(word string) error {
	_, err := io.WriteString(s.line, word+"\n")
	_ = s.keeper.Wait() // its status is that of the last command of the script
	return err
}

// Kill ends the server's first process at once, as kill -9 does. Its data stays.
func (s *Server) Kill(t testing.TB) {
	t.Helper()
	if err := syscall.Kill(s.pid, syscall.SIGKILL); err != nil {
		t.Fatalf("kill the %s server: %v", s.kind, err)
	}
	if err := s.dismiss("keep"); err != nil {
		t.Fatalf("end the keeper of the %s server: %v", s.kind, err)
	}
}

// Restart starts a killed server again, at the same address.
func (s *Server) Restart(t testing.TB) {
	t.Helper()
	if err := s.Start(); err != nil {
		t.Fatalf("start the %s server again: %v", s.kind, err)
	}
}

// end stops the server, running or not, and removes its folder.
func (s *Server) end() {
	_ = s.dismiss("end") // a killed server's keeper has gone already
	_ = os.RemoveAll(s.dir)
}
