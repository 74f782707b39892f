// Package ship makes what is given to others: a container image for each
// program, as an OCI layout, without a container engine.
//
// An image holds one static program, the certificate authorities that Mozilla
// trusts and the list of the modules that the program is made of (CycloneDX).
// The same commit gives the same digests, wherever and whenever it is built.
//
// It pushes nothing: `crane push` and `skopeo copy` take the layouts as they are.
package ship
