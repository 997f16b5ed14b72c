package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/guard"
)

var _ = register(newKeysCmd)

// newKeysCmd returns `whereto keys`: API keys of the service.
func newKeysCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "keys", Short: "Make API keys for the service"}
	var role string
	var scenes []string
	var days int
	add := &cobra.Command{
		Use:   "new ID --role read|write|admin",
		Short: "Make a key: the token on standard error, once, its record on standard output",
		Long: "Make a key. The token is shown once, on standard error, for its owner; the record\n" +
			"on standard output has only a hash of it and belongs into the file that\n" +
			"`whereto serve --keys FILE` reads, one a line.",
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
	f.StringVar(&role, "role", "", "read: ask; write: also send actions and places; admin: also delete people and switch models")
	f.StringSliceVar(&scenes, "scene", nil, "scenes the key is for; all if left out")
	f.IntVar(&days, "days", 0, "days until it expires; 0: never")
	if err := add.MarkFlagRequired("role"); err != nil {
		panic(err) // the flag is defined above
	}
	cmd.AddCommand(add)
	return cmd
}
