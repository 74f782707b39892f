// Package crds holds the CustomResourceDefinitions of SentinelConfig and
// AdapterConfig, as they are installed. They are generated from v1alpha1 by
// `make generate`; nothing in here is written by hand but this file.
package crds

import "embed"

// Files are the CustomResourceDefinitions, one YAML document each.
//
//go:embed *.yaml
var Files embed.FS
