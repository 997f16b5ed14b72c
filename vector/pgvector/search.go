package pgvector

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/whereto/whereto/vector"
)

// Pages of a search that does not take every row: the first has room for a few that are
// left out, and each is growth times as long as the one before, up to the longest or k.
const (
	spare   = 16
	growth  = 4
	longest = 1 << 14
)

// Search returns the best rows of the area. Without a condition that only this side can
// check it takes one page.
func (x *Index) Search(ctx context.Context, query []float32, k int, within vector.Area) ([]vector.Hit, error) {
	query, err := x.measure.Query(query, x.dim, k)
	if err != nil {
		return nil, err
	}
	f, err := within.Filter(x.grid, x.n, x.spatial)
	if err != nil {
		return nil, fmt.Errorf("search: %w", err)
	}
	k = min(k, x.n)
	s := scan{x: x, f: f, k: k, query: text(query), page: k, hits: make([]vector.Hit, 0, k)}
	if within.Keep != nil || len(f.Bounds) > 0 {
		s.page += spare
	}
	for more := true; more && len(s.hits) < k; s.page = max(k, min(longest, growth*s.page)) {
		if err = x.ask(ctx, func() error { more, err = s.read(ctx); return err }); err != nil {
			return nil, wrap(ctx, "search the vectors in "+x.d.name, err)
		}
	}
	return s.hits, nil
}

// scan is one search: rows in order, page after page.
type scan struct {
	x     *Index
	f     *vector.Filter
	k     int
	query string
	page  int
	hits  []vector.Hit
	begun bool
	last  struct { // the row before the next page
		negative float64 // its score, negated as the server has it
		n        int32
	}
}

// read takes the next page; more says whether there may be another.
func (s *scan) read(ctx context.Context) (more bool, err error) {
	statement, args := s.statement()
	rows, err := s.x.pool.Query(ctx, statement, args...)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	seen := 0
	for len(s.hits) < s.k && rows.Next() {
		var h vector.Hit
		var lat, lng float64
		if err := rows.Scan(&h.Row, &h.ID, &s.last.negative, &lat, &lng); err != nil {
			return false, err
		}
		s.last.n, s.begun = h.Row, true
		seen++
		if s.f.Holds(h.Row, lat, lng) {
			h.Score = float32(0 - s.last.negative) // not -0
			s.hits = append(s.hits, h)
		}
	}
	if len(s.hits) < s.k { // else the rest of the page is of no interest, nor how it ends
		err = rows.Err()
	}
	return seen == s.page, err
}

// ask runs a read, and runs it again if its connection turns out to be dead: a server that
// has gone and come back leaves some in the pool, and each is found out by being used.
func (x *Index) ask(ctx context.Context, read func() error) error {
	err := read()
	for range x.pool.Config().MaxConns {
		if err == nil || ctx.Err() != nil || !isDead(err) {
			break
		}
		err = read()
	}
	return err
}

// isDead reports whether an error is that of a connection which was once alive.
func isDead(err error) bool {
	var refused *pgconn.ConnectError
	var said *pgconn.PgError
	switch {
	case errors.As(err, &refused):
		return false
	case errors.As(err, &said):
		return strings.HasPrefix(said.Code, "57P") // the server is being stopped, or fell
	}
	var network net.Error
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &network)
}

// statement is the question for the next page. What it leaves out is outside for certain;
// what it lets through, Holds decides.
func (s *scan) statement() (string, []any) {
	c := conditions{}
	score := fmt.Sprintf("(v %s %s::%s)", s.x.d.product(), c.arg(s.query), s.x.d.vectorType())
	if s.begun {
		c.add("(%s, n) > (%s::double precision, %s::integer)", score, c.arg(s.last.negative), c.arg(s.last.n))
	}
	if s.f.Blocks != nil {
		blocks := make([]int64, len(s.f.Blocks))
		for i, b := range s.f.Blocks {
			blocks[i] = int64(b)
		}
		c.add("block = ANY (%s::bigint[])", c.arg(blocks))
	}
	if s.f.Rows != nil {
		c.add("n = ANY (%s::integer[])", c.arg(s.f.Rows))
	}
	for _, b := range s.f.Bounds {
		c.add("lat BETWEEN %s AND %s", c.arg(b.Lat.Lo*degrees), c.arg(b.Lat.Hi*degrees))
		lo, hi := b.Lng.Lo*degrees, b.Lng.Hi*degrees
		switch {
		case b.Lng.IsFull():
		case lo <= hi:
			c.add("lng BETWEEN %s AND %s", c.arg(lo), c.arg(hi))
		default: // across the antimeridian, or up to it: bounds are wider than what they hold
			c.add("(lng >= %s OR lng <= %s)", c.arg(lo), c.arg(hi))
		}
	}
	return fmt.Sprintf("SELECT n, id, %s, coalesce(lat, 0), coalesce(lng, 0) FROM %s%s ORDER BY %s, n LIMIT %s",
		score, s.x.d.full(s.x.table), c.where(), score, c.arg(s.page)), c.args
}

const degrees = 180 / math.Pi

// conditions collects the parts of a WHERE and their arguments.
type conditions struct {
	parts []string
	args  []any
}

func (c *conditions) arg(value any) string {
	c.args = append(c.args, value)
	return "$" + strconv.Itoa(len(c.args))
}

func (c *conditions) add(format string, args ...any) {
	c.parts = append(c.parts, fmt.Sprintf(format, args...))
}

func (c *conditions) where() string {
	if len(c.parts) == 0 {
		return ""
	}
	return " WHERE " + strings.Join(c.parts, " AND ")
}

// text is a vector as the extension reads it, to the last bit.
func text(v []float32) string {
	b := []byte{'['}
	for i, x := range v {
		if i > 0 {
			b = append(b, ',')
		}
		b = strconv.AppendFloat(b, float64(x), 'g', -1, 32)
	}
	return string(append(b, ']'))
}

// Vectors returns the vectors of rows.
func (x *Index) Vectors(ctx context.Context, rows ...int32) ([][]float32, error) {
	if err := vector.CheckRows(rows, x.n); err != nil {
		return nil, err
	}
	operation := "read vectors of " + x.d.name
	of := make(map[int32][]float32, len(rows))
	err := x.ask(ctx, func() error {
		answer, err := x.pool.Query(ctx, "SELECT n, v::real[] FROM "+x.d.full(x.table)+" WHERE n = ANY ($1::integer[])", rows)
		if err != nil {
			return err
		}
		var n int32
		var v []float32
		_, err = pgx.ForEachRow(answer, []any{&n, &v}, func() error {
			of[n] = v
			return nil
		})
		return err
	})
	if err != nil {
		return nil, wrap(ctx, operation, err)
	}
	out := make([][]float32, len(rows))
	for i, row := range rows {
		out[i] = of[row]
	}
	return out, nil
}
