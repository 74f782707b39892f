// Package schema is the door for JSON: it lets in what the published contract
// allows and says of everything else, at once, what is wrong and where.
//
// It promises that what it enforces is what is published, because it compiles
// its schemas from the OpenAPI document itself, and that whatever it lets in
// can be stored: one document, UTF-8, no U+0000, no name twice in an object,
// bounded depth, numbers within float64.
package schema
