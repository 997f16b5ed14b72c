package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/whereto/whereto/file"
	"github.com/whereto/whereto/index"
	"github.com/whereto/whereto/pipeline"
	"github.com/whereto/whereto/poi"
	"github.com/whereto/whereto/run"
)

var _ = register(newIndexCmd)

// newIndexCmd returns `whereto index`: POIs to tokens.
func newIndexCmd() *cobra.Command {
	cmd := &cobra.Command{Use: "index", Short: "Build, show and export the index of POIs"}
	cmd.AddCommand(newIndexBuildCmd(), newIndexShowCmd(), newIndexExportCmd())
	return cmd
}

func newIndexBuildCmd() *cobra.Command {
	cfg := pipeline.Default()
	mode := string(cfg.Index.Mode)
	var out, update string
	cmd := &cobra.Command{
		Use:   "build PATH...",
		Short: "Index the POIs of logs, by popularity in the train part",
		Long: "Index the POIs that the filters keep, by popularity in the train part.\n" +
			"With --update, POIs of the older index keep their tokens, new ones are appended and\n" +
			"missing ones become tombstones.",
		Example: "  whereto index build checkins.tsv.gz --format tsmc --out nyc.index\n" +
			"  whereto index build march.parquet --update february.index --out march.index",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg.Paths, cfg.Index.Mode = args, index.Mode(mode)
			if err := cfg.Validate(); err != nil {
				return asUsage(cmd, err)
			}
			return buildIndex(cmd, cfg, update, out)
		},
	}
	bindData(cmd, &cfg)
	cmd.Flags().StringVar(&mode, "mode", mode, "hier (block and inner token), flat (one token a POI) or hash (blocks that are not places, the ablation)")
	cmd.Flags().Float64Var(&cfg.Index.SizeKM, "block-km", cfg.Index.SizeKM, "edge of a block in kilometres")
	cmd.Flags().StringVar(&update, "update", "", "older index whose tokens are kept")
	cmd.Flags().StringVar(&out, "out", "", "index file to write")
	mustMark(cmd, "out")
	cmd.MarkFlagsMutuallyExclusive("update", "mode")
	cmd.MarkFlagsMutuallyExclusive("update", "block-km")
	return cmd
}

func buildIndex(cmd *cobra.Command, cfg pipeline.Config, update, out string) error {
	say := sayTo(cmd)
	var old *index.Index
	if update != "" { // first: a bad file should not cost the reading of the logs
		var err error
		if old, err = loadIndex(update); err != nil {
			return err
		}
	}
	d, ix, _, err := pipeline.Load(cmd.Context(), cfg, say)
	if err != nil {
		return err
	}
	if old != nil {
		var changes index.Changes
		if ix, changes, err = old.Update(d.Places, pipeline.Popularity(d)); err != nil {
			return err
		}
		say(changes.String())
	}
	if err := ix.Save(out); err != nil {
		return err
	}
	say("wrote " + out)
	return ix.Stats().WriteText(cmd.OutOrStdout())
}

func newIndexShowCmd() *cobra.Command {
	output := newOutputFlag()
	cmd := &cobra.Command{
		Use:   "show FILE|RUN",
		Short: "Print blocks, occupancy and size spread of an index file or a run's index",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ix, err := loadIndex(args[0])
			if err != nil {
				return err
			}
			if output.value == "json" {
				return printJSON(cmd.OutOrStdout(), ix.Stats())
			}
			return ix.Stats().WriteText(cmd.OutOrStdout())
		},
	}
	cmd.Flags().VarP(output, "output", "o", "table or json")
	return cmd
}

func newIndexExportCmd() *cobra.Command {
	var out string
	layers := index.Layers{Blocks: true, Places: true}
	cmd := &cobra.Command{
		Use:     "export FILE|RUN",
		Short:   "Write blocks and places of an index as GeoJSON",
		Example: "  whereto index export nyc.index --out nyc.geojson",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ix, err := loadIndex(args[0])
			if err != nil {
				return err
			}
			if out == "" {
				return ix.WriteGeoJSON(cmd.OutOrStdout(), layers)
			}
			if err := file.Write(out, func(w io.Writer) error { return ix.WriteGeoJSON(w, layers) }); err != nil {
				return err
			}
			sayTo(cmd)("wrote " + out)
			return nil
		},
	}
	cmd.Flags().StringVar(&out, "out", "", "file to write (default: standard output)")
	cmd.Flags().BoolVar(&layers.Blocks, "blocks", layers.Blocks, "write blocks as polygons")
	cmd.Flags().BoolVar(&layers.Places, "places", layers.Places, "write places as points")
	return cmd
}

// loadIndex opens an index file, or the index of a run folder.
func loadIndex(path string) (*index.Index, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("open the index: %w", err)
	}
	if !info.IsDir() {
		return index.Load(path)
	}
	path = filepath.Join(path, run.IndexFile)
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("the folder is no run with an index (%w); give an index file or a run folder: %w", err, poi.ErrBadInput)
	}
	return index.Load(path)
}
