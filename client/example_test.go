package client_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"time"

	"github.com/whereto/whereto/api"
	"github.com/whereto/whereto/client"
)

// A service that knows one answer, and one limit.
var service = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-Request-Id", "r-1")
	if r.URL.Path == "/v1/recommend" {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, `{"places":[{"rank":1,"poi":"4b9f","name":"Sunny Side Diner","probability":0.31}]}`)
		return
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusUnprocessableEntity)
	io.WriteString(w, `{"title":"Unprocessable Entity","errors":[{"location":"body.k","message":"expected number <= 100","value":1000}]}`)
})

func Example() {
	server := httptest.NewServer(service)
	defer server.Close()
	c, err := client.New(server.URL, client.Options{Key: "wt_read_..."})
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	noon := time.Date(2013, 2, 1, 12, 30, 0, 0, time.FixedZone("", -5*3600))
	answer, err := c.Recommend(ctx, api.RecommendRequest{Who: api.Who{User: "395", Time: noon}, K: 5})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range answer.Places {
		fmt.Printf("%d. %s %.0f %%\n", p.Rank, p.Name, 100*p.Probability)
	}
	_, err = c.Similar(ctx, api.SimilarRequest{POI: "4b9f", K: 1000})
	var problem *client.Problem
	if errors.As(err, &problem) {
		fmt.Println(problem.Errors[0].Location, problem.Errors[0].Message, "in request", problem.RequestID)
	}
	// Output:
	// 1. Sunny Side Diner 31 %
	// body.k expected number <= 100 in request r-1
}
