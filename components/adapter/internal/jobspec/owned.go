package jobspec

import (
	"encoding/json"
	"fmt"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Owned returns the identity that a Job or its Secret carries, and the attempts
// that its retry limit does not count. The error says why it is none of ours:
// name and labels must be those of the identity.
func Owned(o metav1.Object) (id Identity, base int, err error) {
	text, ok := o.GetAnnotations()[AnnotationIdentity]
	if !ok {
		return id, 0, fmt.Errorf("%s has no annotation %s", o.GetName(), AnnotationIdentity)
	}
	if err := json.Unmarshal([]byte(text), &id); err != nil {
		return id, 0, fmt.Errorf("read annotation %s of %s: %w", AnnotationIdentity, o.GetName(), err)
	}
	name, err := id.Name()
	if err != nil {
		return id, 0, err
	}
	if name != o.GetName() || o.GetLabels()[LabelAdapter] != id.Adapter {
		return id, 0, fmt.Errorf("%s of adapter %q carries the identity of %s", o.GetName(), o.GetLabels()[LabelAdapter], name)
	}
	base, _ = strconv.Atoi(o.GetAnnotations()[AnnotationBase]) // none = 0
	return id, base, nil
}

// TTLSeconds is how long a Job is kept after its end is stored, nil if it does not say.
func TTLSeconds(o metav1.Object) *int32 {
	n, err := strconv.ParseInt(o.GetAnnotations()[AnnotationTTL], 10, 32)
	if err != nil {
		return nil
	}
	return new(int32(n))
}
