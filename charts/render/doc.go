// Package render turns charts and kustomizations into objects, by the pinned
// tools in the repository's bin/.
package render
