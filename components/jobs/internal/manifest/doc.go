// Package manifest writes Kubernetes objects as YAML, the same bytes for the
// same object.
package manifest
