package eval

import "github.com/whereto/whereto/metric"

// figures are the metrics of every part of a table, in the order of columns.
var figures = []struct {
	name string
	of   func(metric.Standing) float64
}{
	{"acc@1", func(s metric.Standing) float64 { return s.Hit(1) }},
	{"acc@5", func(s metric.Standing) float64 { return s.Hit(5) }},
	{"acc@10", func(s metric.Standing) float64 { return s.Hit(10) }},
	{"acc@20", func(s metric.Standing) float64 { return s.Hit(20) }},
	{"acc@100", func(s metric.Standing) float64 { return s.Hit(100) }},
	{"mrr", metric.Standing.MRR},
	{"ndcg@10", func(s metric.Standing) float64 { return s.NDCG(10) }},
}

// row computes a scorer's line; first is the main scorer's outcome, or nil.
func (r *rows) row(o, first *outcome, boot metric.Bootstrap) (Row, error) {
	all := make([]int, len(r.targets))
	for i := range all {
		all[i] = i
	}
	var out Row
	var err error
	if out.Metrics, err = metricsOf(o.stands, all, boot); err != nil {
		return Row{}, err
	}
	for _, p := range []struct {
		part   *Part
		stands []metric.Standing
		at     []int
	}{{&out.Returns, o.stands, r.returns}, {&out.Discovery, o.stands, r.finds}, {&out.Fresh, o.fresh, r.finds}} {
		p.part.N, p.part.Share = len(p.at), float64(len(p.at))/float64(len(all))
		if p.part.Metrics, err = metricsOf(p.stands, p.at, boot); err != nil {
			return Row{}, err
		}
	}
	q, err := metric.Quantiles(o.errM, .5, .75, .9)
	if err != nil {
		return Row{}, err
	}
	out.Distance = Distances{P50: q[0], P75: q[1], P90: q[2]}
	if first == nil {
		return out, nil
	}
	if out.Paired, err = paired(first.stands, o.stands, all, 1, boot); err != nil {
		return Row{}, err
	}
	if out.PairedDiscovery, err = paired(first.stands, o.stands, r.finds, 10, boot); err != nil {
		return Row{}, err
	}
	out.PairedFresh, err = paired(first.fresh, o.fresh, r.finds, 10, boot)
	return out, err
}

// metricsOf returns every figure over the rows in at; none has none.
func metricsOf(stands []metric.Standing, at []int, boot metric.Bootstrap) (Metrics, error) {
	out := Metrics{}
	if len(at) == 0 {
		return out, nil
	}
	cols := make([][]float64, len(figures))
	for c, f := range figures {
		cols[c] = make([]float64, len(at))
		for i, row := range at {
			cols[c][i] = f.of(stands[row])
		}
	}
	intervals, err := part(boot, at).Means(cols)
	for c, v := range intervals {
		out[figures[c].name] = Value(v)
	}
	return out, err
}

// paired returns the difference of accuracy at k, a minus b, over the rows in
// at; with no rows it is zero.
func paired(a, b []metric.Standing, at []int, k int, boot metric.Bootstrap) (Value, error) {
	if len(at) == 0 {
		return Value{}, nil
	}
	x, y := make([]float64, len(at)), make([]float64, len(at))
	for i, row := range at {
		x[i], y[i] = a[row].Hit(k), b[row].Hit(k)
	}
	v, err := part(boot, at).Difference(x, y)
	return Value(v), err
}

// part restricts a bootstrap's clusters to the rows in at.
func part(boot metric.Bootstrap, at []int) metric.Bootstrap {
	if boot.Cluster == nil {
		return boot
	}
	clusters := make([]int32, len(at))
	for i, row := range at {
		clusters[i] = boot.Cluster[row]
	}
	boot.Cluster = clusters
	return boot
}

// Beats reports whether the value is above zero with its whole interval: what
// a paired difference must show before a win is claimed.
func (v Value) Beats() bool { return v.Lo > 0 }
