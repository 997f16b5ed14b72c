package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/guard"
	"github.com/whereto/whereto/store"
	storeopen "github.com/whereto/whereto/store/open"
	"github.com/whereto/whereto/table"
)

var _ = register(newKeysCmd)

// newKeysCmd returns `whereto keys`: API keys of the service.
func newKeysCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Make API keys for the service, list and remove those of a store"}
	var role, address string
	var scenes []string
	var days int
	add := &cobra.Command{
		Use:   "new ID --role read|write|admin",
		Short: "Make a key: the token on standard error, once, its record on standard output",
		Long: "Make a key. The token is shown once, on standard error, for its owner; the record\n" +
			"on standard output has only a hash of it and belongs in the file that `whereto serve\n" +
			"--keys FILE` reads, one record a line. With --store it goes into the store instead.\n" +
			"A service takes it at its next start or reload (SIGHUP, or POST /reload on its admin\n" +
			"listener).",
		Example: "  whereto keys new app --role read >> keys.jsonl",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			r, err := guard.ParseRole(role)
			if err != nil {
				return asUsage(cmd, err)
			}
			token, rec, err := guard.Mint(args[0], r)
			if err != nil {
				return asUsage(cmd, err)
			}
			rec.Scenes = scenes
			if days > 0 {
				end := time.Now().UTC().Truncate(time.Second).AddDate(0, 0, days)
				rec.Expires = &end
			}
			if address != "" {
				err := putKey(cmd.Context(), address, &rec)
				if err == nil {
					fmt.Fprintf(cmd.ErrOrStderr(), "token (shown once): %s\n", token)
				}
				return err
			}
			line, err := json.Marshal(rec)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "token (shown once): %s\n", token)
			fmt.Fprintf(cmd.OutOrStdout(), "%s\n", line)
			return nil
		},
	}
	f := add.Flags()
	f.StringVar(&role, "role", "", "`ROLE`: read asks; write also sends actions and places; admin also deletes people and switches models")
	f.StringSliceVar(&scenes, "scene", nil, "`SCENE` the key is for, repeat for more; all if left out")
	f.StringVar(&address, "store", "", "`ADDRESS` of a store, such as sqlite:whereto.db, that takes the record rather than standard output")
	f.IntVar(&days, "days", 0, "days until it expires; 0: never")
	if err := add.MarkFlagRequired("role"); err != nil {
		panic(err) // the flag is defined above
	}
	cmd.AddCommand(add, newKeysListCmd(), newKeysRemoveCmd())
	return cmd
}

// storeFlag adds the store that a command needs.
func storeFlag(cmd *cobra.Command, address *string) {
	cmd.Flags().StringVar(address, "store", "", "`ADDRESS` of the store, such as sqlite:whereto.db")
	if err := cmd.MarkFlagRequired("store"); err != nil {
		panic(err) // the flag is defined above
	}
}

func newKeysListCmd() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:     "list --store ADDRESS",
		Short:   "List the keys of a store: whose they are and what they may, nothing secret",
		Example: "  whereto keys list --store sqlite:whereto.db",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return withStore(cmd.Context(), address, func(home store.Store) error {
				keys, err := home.Keys(cmd.Context())
				if err != nil {
					return err
				}
				t := table.Table{Head: []string{"id", "role", "scenes", "expires"}, Left: 4}
				for _, k := range keys {
					expires := "never"
					if k.ExpiresMS != 0 {
						expires = time.UnixMilli(k.ExpiresMS).UTC().Format(time.RFC3339)
					}
					t.Body = append(t.Body, []string{k.ID, k.Role, strings.Join(k.Scenes, " "), expires})
				}
				return t.Text(cmd.OutOrStdout())
			})
		},
	}
	storeFlag(cmd, &address)
	return cmd
}

func newKeysRemoveCmd() *cobra.Command {
	var address string
	cmd := &cobra.Command{
		Use:   "rm ID --store ADDRESS",
		Short: "Remove a key of a store, one that is lost or leaked",
		Long: "Remove a key of a store. A service refuses it from its next reload on (SIGHUP, or\n" +
			"POST /reload on its admin listener).",
		Example: "  whereto keys rm app --store sqlite:whereto.db",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			return withStore(cmd.Context(), address, func(home store.Store) error {
				if err := home.DeleteKey(cmd.Context(), args[0]); err != nil {
					return fmt.Errorf("remove key %s: %w", args[0], err)
				}
				return nil
			})
		},
	}
	storeFlag(cmd, &address)
	return cmd
}

// withStore opens a store for as long as something is done with it.
func withStore(ctx context.Context, address string, do func(store.Store) error) (err error) {
	home, err := storeopen.Open(ctx, address)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, home.Close()) }()
	return do(home)
}

// putKey puts a record into a store.
func putKey(ctx context.Context, address string, rec *guard.Record) error {
	hash, err := hex.DecodeString(rec.Hash)
	if err != nil {
		return err
	}
	k := store.Key{ID: rec.ID, Hash: hash, Role: rec.Role, Scenes: rec.Scenes, CreatedMS: time.Now().UnixMilli()}
	if rec.Expires != nil {
		k.ExpiresMS = rec.Expires.UnixMilli()
	}
	return withStore(ctx, address, func(home store.Store) error { return home.PutKey(ctx, k) })
}

// storedKeys are the keys of a store, for a ring.
type storedKeys struct{ keys store.Keys }

// Records implements guard.Source.
func (s storedKeys) Records(ctx context.Context) ([]guard.Record, error) {
	keys, err := s.keys.Keys(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]guard.Record, len(keys))
	for i, k := range keys {
		out[i] = guard.Record{ID: k.ID, Hash: hex.EncodeToString(k.Hash), Role: k.Role, Scenes: k.Scenes}
		if b := k.Box; b != nil {
			out[i].Box = &guard.Box{South: b.South, West: b.West, North: b.North, East: b.East}
		}
		if k.ExpiresMS != 0 {
			end := time.UnixMilli(k.ExpiresMS).UTC()
			out[i].Expires = &end
		}
	}
	return out, nil
}
