package main

import (
	"errors"

	"github.com/gomlx/compute"
	"github.com/spf13/cobra"

	"github.com/whereto/whereto/fit"
	"github.com/whereto/whereto/training"
	"github.com/whereto/whereto/tune"
)

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
