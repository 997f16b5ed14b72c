package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/guard"
)

// running is a service on real connections.
type running struct {
	*bench
	url, admin string
	stop       context.CancelFunc
	ended      chan error
}

func run(t *testing.T, change func(*Options)) *running {
	t.Helper()
	r := &running{bench: newBench(t, change), ended: make(chan error, 1)}
	front, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	back, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r.url, r.admin = "http://"+front.Addr().String(), "http://"+back.Addr().String()
	ctx, cancel := context.WithCancel(context.Background())
	r.stop = cancel
	done := make(chan struct{})
	go func() { r.ended <- r.Run(ctx, front, back); close(done) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func (r *running) send(method, path, key, body string) (reply, error) {
	return r.sendAs(method, path, r.tokens[key], body)
}

func (r *running) sendAs(method, path, token, body string) (reply, error) {
	req, err := http.NewRequest(method, r.url+path, strings.NewReader(body))
	if err != nil {
		return reply{}, err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return reply{}, err
	}
	return replyOf(res), nil
}

func TestDrain(t *testing.T) {
	r := run(t, func(o *Options) { o.Limits.DrainDelay = 300 * time.Millisecond })
	inside, leave := make(chan struct{}, 100), make(chan struct{})
	r.desk.instead = func(ctx context.Context, _ api.RecommendRequest) (*api.RecommendResponse, error) {
		inside <- struct{}{}
		select {
		case <-leave:
			return &api.RecommendResponse{}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	const n = 20
	answers := make(chan error, 2*n)
	ask := func() {
		got, err := r.send("POST", "/v1/recommend", "read", `{}`)
		if err == nil && got.status != 200 {
			err = fmt.Errorf("status %d: %s", got.status, got.body)
		}
		answers <- err
	}
	for range n {
		go ask()
	}
	for range n {
		<-inside
	}
	r.stop()
	deadline := time.Now().Add(5 * time.Second)
	for { // not ready while requests are still taken
		got, err := r.send("GET", "/readyz?verbose", "", "")
		if err != nil {
			t.Fatalf("readyz during the delay: %v", err)
		}
		if got.status == 503 && strings.Contains(got.body, "shutting down") {
			if !got.closes {
				t.Error("a draining service keeps connections")
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("readyz stays 200")
		}
	}
	for range n { // requests that come during the delay are answered too
		go ask()
	}
	for range n {
		<-inside
	}
	select {
	case err := <-r.ended:
		t.Fatalf("ended with %d requests inside: %v", 2*n, err)
	default:
	}
	close(leave)
	for range 2 * n {
		if err := <-answers; err != nil {
			t.Errorf("a request failed over the shut-down: %v", err)
		}
	}
	if err := <-r.ended; err != nil {
		t.Errorf("shut-down: %v", err)
	}
	if _, err := r.send("GET", "/livez", "", ""); err == nil {
		t.Error("still listening")
	}
	r.ended <- nil
}

func TestShutdownTimeout(t *testing.T) {
	r := run(t, func(o *Options) { o.Limits.ShutdownTimeout = 20 * time.Millisecond })
	inside := make(chan struct{})
	r.desk.instead = func(ctx context.Context, _ api.RecommendRequest) (*api.RecommendResponse, error) {
		close(inside)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	answered := make(chan error, 1)
	go func() {
		_, err := r.send("POST", "/v1/recommend", "read", `{}`)
		answered <- err
	}()
	<-inside
	r.stop()
	if err := <-r.ended; !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that requests were cut off", err)
	}
	if err := <-answered; err == nil {
		t.Error("the request was not cut off")
	}
	r.ended <- nil
}

func TestUnsafeListeners(t *testing.T) {
	b := newBench(t, func(o *Options) { o.Keys, o.Address = nil, "127.0.0.1:8080" })
	for _, addresses := range [][2]string{{"0.0.0.0:0", "127.0.0.1:0"}, {"127.0.0.1:0", "0.0.0.0:0"}} {
		var l [2]net.Listener
		for i, a := range addresses {
			var err error
			if l[i], err = net.Listen("tcp", a); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.Run(t.Context(), l[0], l[1]); !errors.Is(err, ErrOptions) {
			t.Errorf("%v: error %v", addresses, err)
		}
		if _, err := l[0].Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("%v: still listening: %v", addresses, err)
		}
	}
}

// slowly opens a connection, sends the beginning of a request and returns what comes
// back before the service hangs up.
func slowly(t *testing.T, r *running, begin string) string {
	t.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c, begin); err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(bufio.NewReader(c))
	if err != nil && !strings.Contains(err.Error(), "reset") {
		t.Fatalf("the service does not hang up: %v", err)
	}
	return string(text)
}

func TestSlowSenders(t *testing.T) {
	r := run(t, func(o *Options) {
		o.Limits.HeaderTimeout, o.Limits.ReadTimeout, o.Limits.BulkTimeout = 100*time.Millisecond, 150*time.Millisecond, 200*time.Millisecond
	})
	slowly(t, r, "POST /v1/recommend HTTP/1.1\r\nHost: x\r\n")
	for _, route := range []string{"/v1/recommend", "/v1/actions"} {
		head := "POST " + route + " HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\nAuthorization: Bearer " + r.tokens["write"] + "\r\n\r\n{"
		if got := slowly(t, r, head); !strings.HasPrefix(got, "HTTP/1.1 408 ") || !strings.Contains(got, "/problems/too-slow") {
			t.Errorf("%s: a body that does not come: %q", route, got)
		}
	}
	if got := slowly(t, r, "GET /livez HTTP/1.1\r\nHost: x\r\nX-Long: "+strings.Repeat("x", 64<<10)+"\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 431 ") {
		t.Errorf("a huge header: %.100q", got)
	}
	if r.desk.asked != 0 {
		t.Errorf("%d of them reached the desk", r.desk.asked)
	}
	// A handler that takes longer than a body may is not cut off.
	r.desk.mu.Lock()
	r.desk.instead = func(ctx context.Context, _ api.RecommendRequest) (*api.RecommendResponse, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(400 * time.Millisecond):
			return &api.RecommendResponse{}, nil
		}
	}
	r.desk.mu.Unlock()
	if got, err := r.send("POST", "/v1/recommend", "read", `{}`); err != nil || got.status != 200 {
		t.Errorf("a slow answer: %v, status %d %s", err, got.status, got.body)
	}
}

func TestReloadOfKeysUnderTraffic(t *testing.T) {
	r := run(t, nil)
	var stop atomic.Bool
	var asked atomic.Int64
	var wait sync.WaitGroup
	failed := make(chan string, 100)
	for range 4 {
		wait.Go(func() {
			for !stop.Load() {
				got, err := r.send("POST", "/v1/recommend", "read", `{"user":"ann"}`)
				if asked.Add(1); err != nil || got.status != 200 {
					select {
					case failed <- fmt.Sprint(got.status, got.body, err):
					default:
					}
				}
			}
		})
	}
	for i := range 20 {
		token, rec, err := guard.Mint(fmt.Sprintf("fresh-%d", i), guard.Read)
		if err != nil {
			t.Fatal(err)
		}
		r.source.mu.Lock()
		r.source.list = append(r.source.list, rec)
		r.source.mu.Unlock()
		res, err := http.Post(r.admin+"/reload", "", nil)
		if err != nil {
			t.Fatal(err)
		}
		if got := replyOf(res); got.status != 200 {
			t.Fatalf("reload: %d %s", got.status, got.body)
		}
		if got, err := r.sendAs("GET", "/v1/status", token, ""); err != nil || got.status != 200 {
			t.Errorf("a new key: %v, status %d", err, got.status)
		}
	}
	for asked.Load() < 50 && len(failed) == 0 {
		time.Sleep(time.Millisecond)
	}
	stop.Store(true)
	wait.Wait()
	close(failed)
	for text := range failed {
		t.Errorf("failed over a reload: %s", text)
	}
}
