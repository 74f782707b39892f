package validation

import _ "embed"

// Default is the shipped policy file.
//
//go:embed default.yaml
var Default []byte
