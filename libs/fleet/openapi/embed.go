// Package openapi holds the published contracts: the OpenAPI document of the
// API and the AsyncAPI document of the events. It promises nothing but their
// bytes; the API compiles its request schemas from them.
package openapi

import _ "embed"

//go:embed hyperfleet.yaml
var api []byte

//go:embed asyncapi.yaml
var events []byte

// API returns a copy of the OpenAPI 3.1 document, as YAML.
func API() []byte { return append([]byte(nil), api...) }

// Events returns a copy of the AsyncAPI 3.0 document, as YAML.
func Events() []byte { return append([]byte(nil), events...) }
