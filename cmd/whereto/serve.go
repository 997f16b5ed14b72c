package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/whereto/whereto/bundle"
	"github.com/whereto/whereto/desk"
	"github.com/whereto/whereto/engine"
	"github.com/whereto/whereto/guard"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/recommend"
	"github.com/whereto/whereto/serve"
	"github.com/whereto/whereto/store"
	storeopen "github.com/whereto/whereto/store/open"
	"github.com/whereto/whereto/telemetry"
	"github.com/whereto/whereto/web"
)

var _ = register(newServeCmd)

// serving is what the flags of `whereto serve` say.
type serving struct {
	listen, admin string
	store         string
	vectors       string
	keys, models  string
	rank, embed   string
	trust, data   []string
	origins       []string
	web           web.Options
	log           telemetry.LogOptions
	otlp          string
	limits        serve.Limits
	live          recommend.LiveConfig
	pastMB        int
	threads       int // of a graph; 0: by size
	hot           int
	ttl           time.Duration
	empty         bool
	config        string

	flags *pflag.FlagSet        // what the settings above are bound to
	given map[string]setting    // flags of the command line
	from  map[string]provenance // where each setting in force comes from; no entry: its default
}

// newServing has the defaults of what flags alone do not say.
func newServing() *serving {
	return &serving{limits: serve.DefaultLimits(), live: recommend.DefaultLive(), log: telemetry.LogOptions{Var: new(slog.LevelVar)}}
}

// newServeCmd returns `whereto serve`: the HTTP service and its map.
func newServeCmd() *cobra.Command {
	s := newServing()
	cmd := &cobra.Command{
		Use:   "serve [RUN | BUNDLE]... [--models SHELF]",
		Short: "Answer over HTTP, with a map to look at",
		Long: "Answer over HTTP, with a map at /map/, documentation at /docs and metrics on the\n" +
			"admin address. The current version of a shelf answers, else the first run or bundle\n" +
			"given; the others can be loaded, tried in the shadow and activated. An empty store is\n" +
			"filled with the people and places of the model's data at the first start.\n\n" +
			"Every flag can also be set in the environment (--drain-delay is WHERETO_DRAIN_DELAY)\n" +
			"and in the file of --config (drain-delay: 5s). A flag wins over the environment, the\n" +
			"environment over the file; `whereto config print` shows what holds, and from where.\n\n" +
			"Keys stand in the file of --keys, in " + keysVariable + " (id:hash:role, several by\n" +
			"commas) or in the store. Without keys the service listens on loopback only, and the\n" +
			"admin address without " + tokenVariable + ". SIGTERM and SIGINT drain the service, a\n" +
			"second one ends it at once; SIGHUP reads keys, --log-level, --rate and --burst anew.",
		Example: "  whereto serve runs/nyc-s1\n" +
			"  whereto serve --config serve.yaml\n" +
			"  whereto serve --models models --keys keys.jsonl --listen 0.0.0.0:8080 --store postgres://whereto@db/whereto",
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && s.models == "" {
				return usageError(cmd, "give a run, a bundle or --models SHELF")
			}
			return s.run(cmd, args)
		},
	}
	s.bind(cmd.Flags())
	cmd.PreRunE = func(cmd *cobra.Command, _ []string) error { return s.settle(cmd) }
	return cmd
}

// bind names the settings. Where a usage holds a word in back-quotes, help shows it as
// the value.
func (s *serving) bind(f *pflag.FlagSet) {
	f.StringVar(&s.config, "config", "", "`FILE` of settings in YAML; see whereto config")
	f.StringVar(&s.listen, "listen", "127.0.0.1:8080", "`HOST:PORT` of the service")
	f.StringVar(&s.admin, "admin-listen", "127.0.0.1:9090", "`HOST:PORT` of metrics, profiles and reload; empty: none")
	f.StringVar(&s.store, "store", "sqlite:whereto.db", "`ADDRESS` where state is kept: sqlite:PATH, postgres://... or redis://...")
	f.StringVar(&s.vectors, "vectors", inMemory, "`ADDRESS` where what places are alike by is kept: memory, or postgres://... with pgvector")
	f.BoolVar(&s.empty, "no-import", false, "leave an empty store empty rather than fill it with the model's data")
	f.StringVar(&s.keys, "keys", "", "`FILE` of API keys, as made by whereto keys new")
	f.StringVar(&s.models, "models", "", "`SHELF`, a folder of bundles, as made by whereto models pack")
	f.StringSliceVar(&s.trust, "trust", nil, "public key `FILE`, repeat for more: load only bundles that one of these signed")
	f.StringSliceVar(&s.data, "data", nil, "`FILE` or folder where the data of the given runs is now, if it has moved")
	f.StringVar(&s.rank, "rank-run", "", "`RUN` of whereto finetune rank from the given run: /v1/rank answers with click probabilities")
	f.StringVar(&s.embed, "embed-run", "", "`RUN` of whereto finetune embed from the given run: people have vectors, places are alike by theirs")
	f.StringVar(&s.web.Basemap, "basemap", "", "PMTiles `FILE` drawn below the places of the map")
	f.StringSliceVar(&s.origins, "origin", nil, "`ORIGIN` of pages elsewhere whose scripts may ask, such as https://maps.example; repeat for more")
	f.StringVar(&s.log.Format, "log-format", "json", "`FORMAT` of the log: json or text")
	f.StringVar(&s.log.Level, "log-level", "info", "least `LEVEL` that is logged: debug, info, warn or error")
	f.BoolVar(&s.log.Personal, "log-personal", false, "log user ids and positions as they are rather than as short hashes")
	f.StringVar(&s.otlp, "otlp-endpoint", "", "`URL` of a collector of traces, such as http://127.0.0.1:4318; also OTEL_EXPORTER_OTLP_ENDPOINT")
	f.DurationVar(&s.limits.DrainDelay, "drain-delay", s.limits.DrainDelay, "how long it still accepts requests once it was told to stop and is not ready any more")
	f.DurationVar(&s.limits.ShutdownTimeout, "shutdown-timeout", s.limits.ShutdownTimeout, "how long requests under way may take after --drain-delay")
	f.Float64Var(&s.limits.Rate, "rate", s.limits.Rate, "requests a second of one key; 0: no limit")
	f.IntVar(&s.limits.Burst, "burst", s.limits.Burst, "requests of one key at once, with --rate")
	f.IntVar(&s.limits.Running, "running", s.limits.Running, "questions that are worked on at once")
	f.IntVar(&s.limits.Queue, "queue", s.limits.Queue, "questions that wait for one of --running to end; more are turned away")
	f.DurationVar(&s.limits.Timeout, "timeout", s.limits.Timeout, "how long an answer may take")
	f.IntVar(&s.live.Batch, "batch", s.live.Batch, "questions that run through the network together at most")
	f.IntVar(&s.threads, "threads", 0, "threads of a graph of ONNX Runtime; 0: one for a small network, all cores for a large one")
	f.IntVar(&s.live.Align, "align", s.live.Align, "a past begins at a multiple of so many actions, so that a kept one can grow; 1: it slides with every action")
	f.IntVar(&s.pastMB, "past-mb", int(s.live.PastBytes>>20), "megabytes, for each model, to keep what pasts left in the network")
	f.IntVar(&s.hot, "hot-actions", desk.DefaultHotActions, "people's actions that are kept in memory")
	f.DurationVar(&s.ttl, "state-ttl", 0, "after how long a past in memory is read from the store again; set it where several replicas share one; 0: never")
	bindFiles(f)
}

// run starts everything in turn and stops it in reverse.
func (s *serving) run(cmd *cobra.Command, args []string) (err error) {
	ctx := cmd.Context()
	again := newReloader(s)
	if err := s.readAddresses(); err != nil {
		return err
	}
	log, metrics, tracing, err := s.instruments(cmd)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, tracing.Close(context.WithoutCancel(ctx))) }()
	// A run that is not there must be found out before a store is made for it.
	lib := &library{folders: map[string]string{}, data: s.data, stages: [2]string{s.rank, s.embed}}
	if err := s.fill(ctx, lib, args); err != nil {
		return err
	}
	home, err := storeopen.Open(ctx, s.store)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, home.Close()) }()
	keys, err := s.ring(ctx, home)
	if err != nil {
		return err
	}
	backend, err := openEngine(cmd)
	if err != nil {
		return err
	}
	defer backend.Finalize()
	if err := engine.Yield(); err != nil {
		log.Warn("the engine takes a core from the service", "error", err)
	}
	s.live.PastBytes = int64(s.pastMB) << 20
	watch := newWatch(metrics)
	s.live.Observe, s.live.Ran = watch.stage, metrics.Batched
	lib.backend, lib.tune, lib.live, lib.threads = backend, tuneOptions(cmd, backend), s.live, s.threads
	if !s.empty {
		lib.opened = s.importer(ctx, cmd, home, &err)
	}
	d, err := desk.New(desk.Options{Store: home, Load: lib.load, Available: lib.versions, Log: log, Hooks: watch.hooks(), HotActions: s.hot, StateTTL: s.ttl,
		Chosen: func(version string) error { return lib.chosen(ctx, version) }})
	if err != nil {
		return err
	}
	defer func() {
		end, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.limits.ShutdownTimeout)
		defer cancel()
		err = errors.Join(err, d.Close(end))
	}()
	watch.models = d.ModelStats
	server, err := s.server(serve.Options{Desk: d, Keys: keys, Metrics: metrics, Tracing: tracing, Log: log}, again)
	if err != nil {
		return err
	}
	return s.answer(ctx, cmd, server, d, lib, watch)
}

// instruments opens what shows the service at work.
func (s *serving) instruments(cmd *cobra.Command) (*slog.Logger, *telemetry.Metrics, *telemetry.Tracing, error) {
	log, err := telemetry.NewLogger(cmd.ErrOrStderr(), s.log)
	if err != nil {
		return nil, nil, nil, asUsage(cmd, err)
	}
	metrics, err := telemetry.NewMetrics(version(), serve.RouteNames())
	if err != nil {
		return nil, nil, nil, err
	}
	tracing, err := telemetry.OpenTracing(version(), s.otlp, log)
	return log, metrics, tracing, asUsage(cmd, err)
}

// server makes the HTTP side of its parts.
func (s *serving) server(o serve.Options, again *reloader) (*serve.Server, error) {
	o.Address, o.Limits, o.Web, o.Origins = s.listen, s.limits, s.web, s.origins
	o.Version, o.AdminToken, o.Level, o.Reload = version(), os.Getenv(tokenVariable), s.log.Var, again.reload
	server, err := serve.New(o)
	if err != nil {
		return nil, err
	}
	again.rate = server.SetRate
	return server, nil
}

// fill says which models there are, and where their vectors go.
func (s *serving) fill(ctx context.Context, lib *library, args []string) (err error) {
	if lib.verify.Trusted, err = trusted(s.trust); err != nil {
		return err
	}
	if s.models != "" {
		if lib.shelf, err = bundle.OpenShelf(s.models); err != nil {
			return err
		}
	}
	for _, dir := range args {
		if err := lib.add(ctx, dir); err != nil {
			return err
		}
	}
	first, err := lib.first()
	if err == nil && first == "" {
		err = fmt.Errorf("the shelf %s has no current version: %w; `whereto models pack RUN --models %s --activate` makes one", s.models, poi.ErrEmpty, s.models)
	}
	if err == nil {
		lib.vectors, err = openVectors(ctx, s.vectors)
	}
	return err
}

// ring reads the API keys of file, environment and store; nil without any.
func (s *serving) ring(ctx context.Context, home store.Store) (*guard.Ring, error) {
	ring, err := guard.NewRing(ctx, guard.RingOptions{File: s.keys, Setting: os.Getenv(keysVariable), Source: storedKeys{home}})
	if err != nil {
		return nil, err
	}
	if ring.Len() == 0 && s.keys == "" {
		return nil, nil
	}
	return ring, nil
}

// importer returns a function that fills an empty store with the first data set.
func (s *serving) importer(ctx context.Context, cmd *cobra.Command, home store.Store, failed *error) func(string, *poi.Dataset) {
	var once sync.Once
	return func(_ string, data *poi.Dataset) {
		once.Do(func() {
			n, err := home.Counts(ctx)
			if err != nil || n.Actions > 0 {
				*failed = errors.Join(*failed, err)
				return
			}
			w := cmd.ErrOrStderr()
			fmt.Fprintf(w, "the store is empty: importing the people and places of the model\n")
			last := time.Now()
			*failed = errors.Join(*failed, desk.Import(ctx, home, data, func(stored, of int) {
				if stored == of || time.Since(last) > 10*time.Second {
					last = time.Now()
					fmt.Fprintf(w, "imported %d of %d actions\n", stored, of)
				}
			}))
		})
	}
}

// answer listens, loads the first model and serves until told to stop.
func (s *serving) answer(ctx context.Context, cmd *cobra.Command, server *serve.Server, d *desk.Desk, lib *library, watch *watch) error {
	public, err := net.Listen("tcp", s.listen)
	if err != nil {
		return fmt.Errorf("listen on %s: %w; choose another --listen", s.listen, err)
	}
	var admin net.Listener
	if s.admin != "" {
		if admin, err = net.Listen("tcp", s.admin); err != nil {
			return errors.Join(fmt.Errorf("listen on %s: %w; choose another --admin-listen", s.admin, err), public.Close())
		}
	}
	w := cmd.ErrOrStderr()
	fmt.Fprintf(w, "map:      http://%s/map/\nAPI docs: http://%s/docs\n", public.Addr(), public.Addr())
	if admin != nil {
		fmt.Fprintf(w, "metrics:  http://%s/metrics\n", admin.Addr())
	}
	defer watch.start(ctx)()
	defer onHangup(ctx, func(ctx context.Context) { _, _ = server.Reload(ctx) })() // it logs what came of it
	// Probes answer while the model loads: alive, not ready.
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go func() {
		first, err := lib.first()
		if err == nil {
			_, err = d.ActivateModel(ctx, first)
		}
		if err != nil {
			cancel(fmt.Errorf("load the first model: %w", err))
			return
		}
		fmt.Fprintf(w, "ready: version %s answers\n", first)
	}()
	err = server.Run(ctx, public, admin)
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, context.Canceled) {
		err = errors.Join(cause, err)
	}
	return err
}
