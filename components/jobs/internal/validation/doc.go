// Package validation judges a resource by a bundle: a JSON Schema of its spec,
// and policies, which are CEL expressions that must hold.
//
// A bundle is a file, a directory, or an archive that is fetched and must have
// the checksum it was named with. It is compiled and type-checked as a whole
// before anything is judged; evaluation is bounded in cost and time. What a
// policy cannot judge, it refuses. A bundle brings its own tests.
package validation
