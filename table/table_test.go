package table

import (
	"errors"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	x := &Table{Caption: "two rows", Head: []string{"név", "part", "n"}, Body: [][]string{{"a|b", "all", "10"}, {"ábcde", "", "7"}}, Left: 2}
	var text, markdown strings.Builder
	if err := errors.Join(x.Text(&text), x.Markdown(&markdown)); err != nil {
		t.Fatal(err)
	}
	if want := "two rows\nnév    part   n\na|b    all   10\nábcde         7\n"; text.String() != want {
		t.Errorf("text\n%s\nwant\n%s", text.String(), want)
	}
	if want := "two rows\n\n| név | part | n |\n|---|---|---:|\n| a\\|b | all | 10 |\n| ábcde |  | 7 |\n"; markdown.String() != want {
		t.Errorf("markdown\n%s\nwant\n%s", markdown.String(), want)
	}
	if err := x.Text(full{}); err == nil {
		t.Error("a full disk is no error")
	}
}

type full struct{}

func (full) Write([]byte) (int, error) { return 0, errors.New("full") }
