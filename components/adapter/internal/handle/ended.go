package handle

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// Bounds of what a report carries, in bytes.
const (
	maxMessage = 4 << 10
	maxData    = 32 << 10
)

// Ended reports how a Job ended. It returns nil once the API has stored that,
// or has answered that it does not want to know; else it is to be called again.
func (h *Handler) Ended(ctx context.Context, end jobspec.End) error {
	end = presentable(end)
	id := end.Identity
	if id.Mode == jobspec.ModeCheck {
		return h.checked(ctx, end)
	}
	if end.Mute {
		if told, err := h.told(ctx, id); told || err != nil {
			return err
		}
	}
	err := h.report(ctx, id.ResourceType, id.ResourceID, h.conclusion(end))
	code := fleet.ErrorCode(err)
	switch {
	case code == fleet.StaleGeneration && !end.Succeeded && !end.Lost:
		// No attempt follows on a generation that is past: this was the last.
		r := h.conclusion(end)
		r.Phase, r.RetryAfter, r.Message = fleet.ReportFailed, "", end.Message
		err = h.report(ctx, id.ResourceType, id.ResourceID, r)
	case slices.Contains([]fleet.Code{fleet.BadRequest, fleet.Invalid, fleet.TooLarge}, code):
		var problem *fleet.Error
		errors.As(err, &problem)
		end.Succeeded, end.Data = false, nil
		end.Message = clean("the API refused the job's result: " + problem.Error())
		err = h.report(ctx, id.ResourceType, id.ResourceID, h.conclusion(end))
	}
	if err != nil && !final(fleet.ErrorCode(err)) {
		h.log.Warn("end not reported yet", "cluster", id.ResourceID, "job", end.Name, "err", err)
		return fmt.Errorf("report the end of %s: %w", end.Name, err)
	}
	h.concluded(end)
	return nil
}

// told says whether the success of a Job is stored already, or nobody wants it
// any more. The Job may have been found once more while Kubernetes removes it.
func (h *Handler) told(ctx context.Context, id jobspec.Identity) (bool, error) {
	r, err := h.api.Get(ctx, id.ResourceType, id.ResourceID)
	switch {
	case fleet.ErrorCode(err) == fleet.NotFound:
		return true, nil
	case err != nil:
		return false, fmt.Errorf("look whether %s was told before: %w", id.ResourceID, err)
	}
	own, _ := r.Status.Adapter(h.adapter)
	return own.Phase == fleet.ReportComplete && own.ObservedGeneration == id.Generation && own.Attempt == id.Attempt, nil
}

// concluded tells whoever looks on that the end of a Job is stored.
func (h *Handler) concluded(end jobspec.End) {
	h.beats.forget(end.Name)
	if end.Lost {
		h.log.Info("job lost", "cluster", end.Identity.ResourceID, "job", end.Name)
		return
	}
	result, seconds := "failed", end.Ended.Sub(end.Started).Seconds()
	if end.Succeeded {
		result = "succeeded"
	}
	h.metrics.duration.WithLabelValues(result).Observe(seconds)
	h.log.Info("job ended", "cluster", end.Identity.ResourceID, "job", end.Name, "result", result, "seconds", seconds)
}

// Wanted says whether the resource of a Job is there, at the Job's generation.
func (h *Handler) Wanted(ctx context.Context, id jobspec.Identity) (bool, error) {
	r, err := h.api.Get(ctx, id.ResourceType, id.ResourceID)
	if fleet.ErrorCode(err) == fleet.NotFound {
		return false, nil
	}
	return r.Generation <= id.Generation, err
}

// conclusion is the report that follows from an end.
func (h *Handler) conclusion(end jobspec.End) fleet.NewReport {
	at := fleet.At(end.Ended)
	r := fleet.NewReport{
		Phase: fleet.ReportComplete, Message: end.Message, Data: end.Data, LastTransitionTime: &at,
		ObservedGeneration: end.Identity.Generation, Attempt: end.Identity.Attempt, AttemptBase: end.AttemptBase,
	}
	final := last(end.AttemptBase, h.rules.limit)
	switch {
	case end.Lost: // the same attempt again
		r.Phase, r.Message, r.LastTransitionTime = fleet.ReportPending, "job "+end.Name+" was deleted before it ended", nil
	case end.Succeeded:
	case end.Identity.Attempt >= final:
		r.Phase = fleet.ReportFailed
	default:
		r.Phase = fleet.ReportRunning
		r.RetryAfter = h.cfg.Spec.Retry.Backoff.Duration.String()
		r.Message = clean(fmt.Sprintf("attempt %d of %d failed, next in %s: %s", end.Identity.Attempt, final, r.RetryAfter, end.Message))
	}
	return r
}

// presentable returns end as a report can carry it. A result that no report
// can carry is a failure.
func presentable(end jobspec.End) jobspec.End {
	end.Message = clean(end.Message)
	data := bytes.TrimSpace(end.Data)
	switch {
	case len(data) == 0 || string(data) == "null":
		end.Data = nil
	case data[0] != '{' || !json.Valid(data):
		end.Succeeded, end.Data, end.Message = false, nil, "the job's data is not a JSON object"
	case len(data) > maxData:
		end.Succeeded, end.Data = false, nil
		end.Message = fmt.Sprintf("the job's data has %d bytes, at most %d are allowed", len(data), maxData)
	}
	return end
}

// clean makes text that the API accepts as a message.
func clean(text string) string {
	text = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
	if len(text) <= maxMessage {
		return text
	}
	cut := maxMessage - len("…")
	for !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + "…"
}
