package main

import (
	"errors"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/run"
	"github.com/whereto/whereto/spacetime"
	"github.com/whereto/whereto/training"
	"github.com/whereto/whereto/tune"
)

// newBaseCmd returns `whereto finetune base`: the ordinary click model, alone or
// with what trained stages say of the candidates.
func newBaseCmd() *cobra.Command {
	var from recipeFlags
	var base, out string
	var with []string
	resume, output := &enum{"auto", []string{"auto", "never"}}, newOutputFlag()
	cmd := &cobra.Command{
		Use:   "base RECIPE --from RUN",
		Short: "The ordinary click model, alone or with features of trained stages",
		Long: "Train the click model that stands for an online ranker on the data of a run (its\n" +
			"weights are not used). --with adds the vectors of an embed run or the logits of a\n" +
			"rank run to its features. Let the stages learn from an earlier part of the log\n" +
			"(feed.until) than the click model (ranker.warm_up), or their scores look better\n" +
			"in training than they are.",
		Example: "  whereto finetune base city-base --from runs/city-s1\n" +
			"  whereto finetune base city-base --from runs/city-s1 --with runs/city-embed-s1 --with runs/city-rank-s1 --out runs/both-s1",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if base == "" {
				return usageError(cmd, "say whose data to use with --from RUN")
			}
			backend, err := openEngine(cmd)
			if err != nil {
				return err
			}
			defer backend.Finalize()
			s := &staging{cmd: cmd, backend: backend, stage: spacetime.StageBase, out: out, resume: resume.value == "auto", with: with}
			if err := s.open(base, run.Best, args[0], &from); err != nil {
				return err
			}
			done, err := s.train()
			if err = errors.Join(err, s.base.Close()); err != nil {
				return err
			}
			if output.value == "json" {
				return printJSON(cmd.OutOrStdout(), done)
			}
			return done.write(cmd.OutOrStdout())
		},
	}
	from.bind(cmd)
	f := cmd.Flags()
	f.StringVar(&base, "from", "", "run folder whose data and impressions to use")
	f.StringArrayVar(&with, "with", nil, "run folder of a stage whose scores become features; repeat for more")
	f.StringVar(&out, "out", "", "run folder (default runs/NAME-sSEED)")
	f.Var(resume, "resume", "auto: continue a run of the same recipe in the folder; never: refuse an existing folder")
	f.VarP(output, "output", "o", "table or json")
	return cmd
}

// openWith opens runs of stages by folder. The caller closes them.
func openWith(cmd *cobra.Command, backend compute.Backend, dirs, data []string) (list []*tune.Trained, err error) {
	for _, dir := range dirs {
		t, err := tune.Open(cmd.Context(), dir, fit.OpenOptions{Backend: backend, Data: data, Progress: sayTo(cmd)}, tuneOptions(cmd, backend))
		if err != nil {
			return list, err
		}
		list = append(list, t)
	}
	return list, nil
}

func closeAll(list []*tune.Trained) error {
	var errs []error
	for _, t := range list {
		errs = append(errs, t.Close())
	}
	return errors.Join(errs...)
}

// clickModel prepares the training of the base stage.
func (s *staging) clickModel() (o training.Options, err error) {
	with, err := openWith(s.cmd, s.backend, s.with, s.rec.Data.Paths)
	defer func() { err = errors.Join(err, closeAll(with)) }()
	if err != nil {
		return o, err
	}
	b, err := tune.AssembleBase(s.cmd.Context(), s.base.Assembly, s.rec, with, s.backend, sayTo(s.cmd))
	if err != nil {
		return o, err
	}
	return b.Options(s.backend, b.NewStore()), nil
}
