package pubsub

import (
	"context"
	"errors"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/health"
)

// state is how one publisher or subscriber stands with Pub/Sub.
type state struct{ *health.Health }

func (d *driver) newState(role, name string) state {
	return state{d.meters.Of(d.log, role, name)}
}

// saw records how a try ended. One that its caller gave up says nothing of the
// broker.
func (s state) saw(ctx context.Context, err error) {
	switch {
	case err == nil:
		s.Up()
	case !errors.Is(ctx.Err(), context.Canceled):
		s.Down(reasonOf(err), explain(err))
	}
}

func reasonOf(err error) health.Reason {
	switch {
	case errors.As(err, new(credentialsError)):
		return health.Credentials
	case errors.As(err, new(missingError)), errors.Is(err, broker.ErrUnroutable):
		return health.Topology
	}
	switch status.Code(err) {
	case codes.Unavailable, codes.DeadlineExceeded, codes.ResourceExhausted:
		return health.Unreachable
	case codes.Unauthenticated, codes.PermissionDenied:
		return health.Credentials
	case codes.NotFound:
		return health.Topology
	}
	return health.Lost
}
