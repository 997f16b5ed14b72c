// Command whereto predicts where a person wants to go next.
//
// Data goes to standard output, everything else to standard error. The exit
// status is 0 on success, 1 on failure and 2 on wrong usage. The first SIGINT or
// SIGTERM asks the command to stop in order; a second one kills it.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // after the first signal, the second has its usual effect
	status := execute(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(status)
}
