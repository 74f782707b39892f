package service

import (
	"context"
	"errors"
	"fmt"
)

// Part is one of the things that a process does at once. Run blocks until ctx
// ends and everything is drained, in bounded time.
type Part struct {
	Name string
	Run  func(context.Context) error
}

// Run runs all parts at once and returns when every one has returned. The first
// part that fails, or returns although nobody asked it to, ends the others. The
// errors of all parts are joined, each under its part's name; the mere end of
// ctx is none.
func Run(ctx context.Context, parts ...Part) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error)
	for _, p := range parts {
		go func() { ended <- p.run(ctx) }()
	}
	errs := make([]error, 0, len(parts))
	for range parts {
		errs = append(errs, <-ended)
		cancel()
	}
	return errors.Join(errs...)
}

func (p Part) run(ctx context.Context) error {
	err := p.Run(ctx)
	asked := ctx.Err() != nil
	switch {
	case err == nil && !asked:
		return fmt.Errorf("%s: ended although nothing asked it to", p.Name)
	case err == nil, asked && errors.Is(err, context.Canceled):
		return nil
	}
	return fmt.Errorf("%s: %w", p.Name, err)
}
