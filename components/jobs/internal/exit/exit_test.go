package exit

import (
	"context"
	"errors"
	"fmt"
	"testing"
)

func TestCode(t *testing.T) {
	away, wrong := Later(errors.New("away")), errors.New("wrong")
	for name, c := range map[string]struct {
		err  error
		want int
	}{
		"no error":                                {nil, Done},
		"nothing marked":                          {Later(nil), Done},
		"a plain error":                           {wrong, Failed},
		"one that may pass":                       {away, TryAgain},
		"one that may pass, wrapped":              {fmt.Errorf("ask: %w", away), TryAgain},
		"one that cannot pass, wrapped":           {fmt.Errorf("ask: %w", wrong), Failed},
		"several that may pass":                   {errors.Join(away, fmt.Errorf("ask: %w", away)), TryAgain},
		"several of which one cannot":             {errors.Join(away, wrong), Failed},
		"a stop":                                  {fmt.Errorf("wait: %w", context.Canceled), TryAgain},
		"no time left":                            {fmt.Errorf("wait: %w", context.DeadlineExceeded), TryAgain},
		"a stop beside something that is wrong":   {errors.Join(context.Canceled, wrong), Failed},
		"several marked as a whole, one is wrong": {Later(errors.Join(away, wrong)), TryAgain},
	} {
		if got := Code(c.err); got != c.want {
			t.Errorf("%s: got %d, want %d", name, got, c.want)
		}
	}
}
