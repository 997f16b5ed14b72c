package sqlite

import (
	"context"
	"fmt"
)

// LimitPages stands for a disk with room for n pages of 4096 bytes.
func (s *Store) LimitPages(n int) error {
	_, err := s.write.ExecContext(context.Background(), fmt.Sprintf("PRAGMA max_page_count = %d", n))
	return err
}

// Pages returns the size of the file in pages.
func (s *Store) Pages() (n int, err error) {
	err = s.write.QueryRowContext(context.Background(), "PRAGMA page_count").Scan(&n)
	return n, err
}

// Execute runs any statement, to spoil a file.
func (s *Store) Execute(statement string) error {
	_, err := s.write.ExecContext(context.Background(), statement)
	return err
}
