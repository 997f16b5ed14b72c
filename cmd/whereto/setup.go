package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/engine"
)

var _ = register(newSetupCmd)

// newSetupCmd returns `whereto setup`: fetch what makes it fast on a CPU.
func newSetupCmd() *cobra.Command {
	return &cobra.Command{
		Use:   "setup",
		Short: "Fetch the ONNX Runtime library into the user's cache folder",
		Long: "Fetch ONNX Runtime " + engine.Version + " with `npm pack` into the user's cache folder and check its\n" +
			"SHA-256. Nothing is done if it is there already. Where it cannot be had, whereto\n" +
			"says so and works on the slower pure-Go engine; that is no failure.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			w := cmd.ErrOrStderr()
			if !engine.CGO {
				fmt.Fprintln(w, "setup: built without cgo, so only the pure-Go engine can be used; nothing to fetch")
				return nil
			}
			result, err := engine.Setup(cmd.Context())
			switch {
			case errors.Is(err, engine.ErrNoSource):
				fmt.Fprintf(w, "setup: %v; continuing with the slower pure-Go engine\n", err)
				return nil
			case err != nil:
				return err
			case result.Fetched:
				fmt.Fprintf(w, "setup: fetched ONNX Runtime %s to %s\n", engine.Version, result.Path)
			default:
				fmt.Fprintf(w, "setup: ONNX Runtime %s is already at %s\n", engine.Version, result.Path)
			}
			return nil
		},
	}
}
