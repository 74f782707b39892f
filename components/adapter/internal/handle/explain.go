package handle

import (
	"context"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/precondition"
)

// Explain says of each dependency and precondition how it stands for s. It
// reports nothing and makes no Job.
func (h *Handler) Explain(ctx context.Context, s jobspec.Subject) ([]precondition.Finding, error) {
	in, err := h.gather(ctx, &s)
	if err != nil {
		return nil, err
	}
	return h.chain.Explain(in), nil
}
