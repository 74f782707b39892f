package selector

import (
	"fmt"
	"strings"

	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"

	"github.com/hyperfleet/hyperfleet/libs/fleet"
)

// maxTerms bounds a selector, because each term costs a statement parameters.
const maxTerms = 256

// Parse reads the grammar of Kubernetes: `region in (us-east, eu-west),!old`.
// Its error is a [fleet.BadRequest] that names the problem.
func Parse(s string) (labels.Selector, error) {
	if strings.ContainsRune(s, 0) { // labels.Parse would take it for the end and drop the rest
		return nil, bad("labelSelector", "it holds the character U+0000")
	}
	sel, err := labels.Parse(s)
	if err != nil {
		return nil, bad("labelSelector", err.Error())
	}
	if terms, _ := sel.Requirements(); len(terms) > maxTerms {
		return nil, bad("labelSelector", fmt.Sprintf("%d terms; at most %d are allowed", len(terms), maxTerms))
	}
	return sel, nil
}

// ParsePairs reads `region:us-east,env:prod`: each label has exactly that
// value. Its error is a [fleet.BadRequest] that names every problem.
func ParsePairs(s string) (labels.Selector, error) {
	if strings.TrimSpace(s) == "" {
		return labels.Everything(), nil
	}
	pairs := strings.Split(s, ",")
	if len(pairs) > maxTerms {
		return nil, bad("labels", fmt.Sprintf("%d pairs; at most %d are allowed", len(pairs), maxTerms))
	}
	sel := labels.NewSelector()
	var problems []string
	for _, pair := range pairs {
		key, value, found := strings.Cut(strings.TrimSpace(pair), ":")
		if !found {
			problems = append(problems, fmt.Sprintf("%q: write key:value", pair))
			continue
		}
		term, err := labels.NewRequirement(key, selection.Equals, []string{value})
		if err != nil {
			problems = append(problems, fmt.Sprintf("%q: %v", pair, err))
			continue
		}
		sel = sel.Add(*term)
	}
	if len(problems) > 0 {
		return nil, bad("labels", problems...)
	}
	return sel, nil
}

func bad(parameter string, messages ...string) error {
	e := &fleet.Error{Code: fleet.BadRequest, Detail: "the selector cannot be read"}
	for _, m := range messages {
		e.Problems = append(e.Problems, fleet.Problem{Pointer: parameter, Message: m})
	}
	return e
}
