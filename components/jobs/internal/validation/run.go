package validation

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/disk"
)

// Bounds of what the data says of warnings: it must fit a termination log.
const (
	maxWarnings   = 8
	maxWarningLen = 250 // bytes
)

// Data is what the job returns.
type Data struct {
	Policies int      `json:"policies"`
	Warnings []string `json:"warnings"`
}

// Run judges a resource, writes the whole verdict to report and returns its
// short form. The error names every violated policy with its field.
func Run(ctx context.Context, p *Policies, s Subject, report string, files disk.Files) (string, Data, error) {
	v, err := p.Judge(ctx, s)
	if err != nil {
		return "", Data{}, err
	}
	text, err := json.MarshalIndent(v, "", "  ")
	if err != nil {
		return "", Data{}, fmt.Errorf("encode the verdict: %w", err)
	}
	if _, err := files.Write(report, append(text, '\n'), disk.Readable); err != nil {
		return "", Data{}, err
	}
	if err := v.Err(); err != nil {
		return "", Data{}, err
	}
	d := Data{Policies: v.Policies, Warnings: []string{}}
	for i, w := range v.Warnings {
		if i == maxWarnings {
			d.Warnings = append(d.Warnings, fmt.Sprintf("and %d more", len(v.Warnings)-i))
			break
		}
		d.Warnings = append(d.Warnings, cut(w.String()))
	}
	message := fmt.Sprintf("%d policies hold", v.Policies-len(v.Warnings))
	if n := len(v.Warnings); n > 0 {
		message += fmt.Sprintf(", %d warn", n)
	}
	return message, d, nil
}

func cut(s string) string {
	if len(s) <= maxWarningLen {
		return s
	}
	runes := []rune(s)
	for len(string(runes)) > maxWarningLen {
		runes = runes[:len(runes)-1]
	}
	return string(runes) + "…"
}
