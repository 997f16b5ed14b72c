package training

import (
	"context"
	"fmt"
)

// item is a batch made ahead, with its place.
type item struct {
	epoch, index int
	batch        Batch
	err          error
}

// prefetch makes batches in order from (epoch, index) on in one goroutine, at
// most depth ahead, until the epochs end, an error, or ctx ends. The channel is
// closed at the end.
func prefetch(ctx context.Context, src Batches, epoch, index, epochs, depth int) <-chan item {
	out := make(chan item, depth)
	go func() {
		defer close(out)
		for e, i := epoch, index; e < epochs; e, i = e+1, 0 {
			for n := src.Steps(e); i < n; i++ {
				b, err := src.Batch(ctx, e, i)
				select {
				case out <- item{epoch: e, index: i, batch: b, err: err}:
				case <-ctx.Done():
					return
				}
				if err != nil {
					return
				}
			}
		}
	}()
	return out
}

// next takes the batch at (epoch, index) and checks that it can be trained on.
func next(in <-chan item, epoch, index int) (Batch, error) {
	it, ok := <-in
	switch {
	case !ok:
		return Batch{}, fmt.Errorf("epoch %d, batch %d: no batch came: %w", epoch, index, ErrBadBatch)
	case it.err != nil:
		return Batch{}, fmt.Errorf("epoch %d, batch %d: %w", it.epoch, it.index, it.err)
	case it.epoch != epoch || it.index != index:
		return Batch{}, fmt.Errorf("epoch %d, batch %d was wanted, %d, %d came: Steps must give the same number each time: %w", epoch, index, it.epoch, it.index, ErrBadBatch)
	case !(it.batch.Weight > 0) || it.batch.Weight > 1e15:
		return Batch{}, fmt.Errorf("epoch %d, batch %d: weight %v must be positive: %w", epoch, index, it.batch.Weight, ErrBadBatch)
	}
	return it.batch, nil
}
