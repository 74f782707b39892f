// Command dns-job is what the Jobs of the dns adapter run.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"github.com/hyperfleet/hyperfleet/components/jobs"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := jobs.Main(ctx, "dns", jobs.Process{Args: os.Args[1:], Getenv: os.Getenv, Stdout: os.Stdout, Stderr: os.Stderr})
	stop()
	os.Exit(code)
}
