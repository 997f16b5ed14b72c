package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/bundle"
	"github.com/whereto/whereto/table"
)

var _ = register(newModelsCmd)

// newModelsCmd returns `whereto models`: bundles and the shelf a service loads from.
func newModelsCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "models",
		Short: "Pack runs for a service; list, switch and remove versions of its shelf",
		Long: "A bundle is one folder with everything a service needs of a trained run: recipe,\n" +
			"index, weights and data, each with its SHA-256. A shelf is a folder of bundles, one\n" +
			"of which is current: `whereto serve --models SHELF` begins with it. A running service\n" +
			"is switched over HTTP (POST /v1/models/VERSION/activate), which the shelf remembers.",
	}
	cmd.AddCommand(newPackCmd(), newShelfListCmd(), newShelfUseCmd(), newShelfBackCmd(), newShelfRemoveCmd(), newVerifyCmd(), newSigningKeyCmd())
	return cmd
}

func newPackCmd() *cobra.Command {
	var o bundle.PackOptions
	var shelf, sign string
	var activate bool
	cmd := &cobra.Command{
		Use:     "pack RUN (--out FOLDER | --models SHELF)",
		Short:   "Put a run and its data into one verified folder",
		Example: "  whereto models pack runs/nyc-s1 --models models --activate",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ctx := cmd.Context()
			if o.Run = args[0]; sign != "" {
				key, err := bundle.ReadPrivateKey(sign)
				if err != nil {
					return err
				}
				o.Sign = key
			}
			if shelf == "" {
				m, err := bundle.Pack(ctx, o)
				if err != nil {
					return err
				}
				fmt.Fprintln(cmd.OutOrStdout(), m.Version)
				return nil
			}
			s, err := bundle.OpenShelf(shelf)
			if err != nil {
				return err
			}
			tmp, err := os.MkdirTemp(filepath.Dir(filepath.Clean(shelf)), ".packing-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(tmp)
			o.Out = filepath.Join(tmp, "bundle")
			if _, err := bundle.Pack(ctx, o); err != nil {
				return err
			}
			m, err := s.Add(ctx, o.Out, bundle.VerifyOptions{})
			if err == nil && activate {
				err = s.Activate(ctx, m.Version)
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), m.Version)
			return nil
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.Out, "out", "", "`FOLDER` to make")
	f.StringVar(&shelf, "models", "", "`SHELF` to add the version to, made if it is not there")
	f.BoolVar(&activate, "activate", false, "make it the shelf's current version")
	f.StringVar(&o.Rank, "rank-run", "", "`RUN` of whereto finetune rank from the run")
	f.StringVar(&o.Embed, "embed-run", "", "`RUN` of whereto finetune embed from the run")
	f.StringSliceVar(&o.Data, "data", nil, "`FILE` or folder where the run's data is now, if it has moved")
	f.StringVar(&sign, "sign", "", "private key `FILE` to sign with, as made by whereto models new-key")
	cmd.MarkFlagsOneRequired("out", "models")
	cmd.MarkFlagsMutuallyExclusive("out", "models")
	return cmd
}

// shelfCmd is a command on a shelf.
func shelfCmd(use, short string, args int, do func(cmd *cobra.Command, s *bundle.Shelf, args []string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.ExactArgs(1 + args), RunE: func(cmd *cobra.Command, args []string) error {
		s, err := bundle.OpenShelf(args[0])
		if err != nil {
			return err
		}
		return do(cmd, s, args[1:])
	}}
}

func newShelfListCmd() *cobra.Command {
	output := &enum{"table", []string{"table", "json"}}
	cmd := shelfCmd("list SHELF", "List the versions of a shelf", 0, func(cmd *cobra.Command, s *bundle.Shelf, _ []string) error {
		entries, err := s.List()
		if err != nil {
			return err
		}
		if output.value == "json" {
			return printJSON(cmd.OutOrStdout(), entries)
		}
		t := table.Table{Head: []string{"version", "name", "roles", "made", "", "size"}, Left: 5}
		for _, e := range entries {
			bytes := int64(0)
			for _, p := range e.Manifest.Parts {
				bytes += p.Bytes
			}
			note := ""
			switch {
			case e.Current:
				note = "current"
			case e.Previous:
				note = "previous"
			}
			t.Body = append(t.Body, []string{e.Manifest.Version, e.Manifest.Name, strings.Join(e.Manifest.Roles, " "),
				e.Manifest.Created.Format(time.RFC3339), note, fmt.Sprintf("%.1f MB", float64(bytes)/1e6)})
		}
		return t.Text(cmd.OutOrStdout())
	})
	cmd.Flags().VarP(output, "output", "o", "`FORMAT` of the list: table or json")
	return cmd
}

func newShelfUseCmd() *cobra.Command {
	return shelfCmd("activate SHELF VERSION", "Make a version current, for the next start of a service", 1,
		func(cmd *cobra.Command, s *bundle.Shelf, args []string) error {
			return s.Activate(cmd.Context(), args[0])
		})
}

func newShelfBackCmd() *cobra.Command {
	return shelfCmd("rollback SHELF", "Make the version before the current one current again, for the next start of a service", 0,
		func(cmd *cobra.Command, s *bundle.Shelf, _ []string) error {
			version, err := s.RollBack(cmd.Context())
			if err == nil {
				fmt.Fprintln(cmd.OutOrStdout(), version)
			}
			return err
		})
}

func newShelfRemoveCmd() *cobra.Command {
	return shelfCmd("rm SHELF VERSION", "Remove a version, if it is not the current one", 1,
		func(cmd *cobra.Command, s *bundle.Shelf, args []string) error {
			return s.Remove(cmd.Context(), args[0])
		})
}

func newVerifyCmd() *cobra.Command {
	var keys []string
	cmd := &cobra.Command{Use: "verify BUNDLE", Short: "Check every file of a bundle, and its signature if keys are given", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			trust, err := trusted(keys)
			if err != nil {
				return err
			}
			b, err := bundle.Open(cmd.Context(), args[0], bundle.VerifyOptions{Trusted: trust})
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "version %s: all %d files are as they were packed\n", b.Manifest.Version, len(b.Manifest.Parts))
			return nil
		}}
	cmd.Flags().StringSliceVar(&keys, "trust", nil, "public key `FILE`, repeat for more: one of these must have signed")
	return cmd
}

func newSigningKeyCmd() *cobra.Command {
	return &cobra.Command{Use: "new-key FILE", Short: "Make a pair of keys to sign bundles with: FILE and FILE.pub", Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			key, err := bundle.NewKey(args[0])
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.OutOrStdout(), "key %s; keep %s secret and give %s.pub to those who verify\n", bundle.KeyID(key), args[0], args[0])
			return nil
		}}
}
