// Package jobspec says which Job an attempt is: its identity, its name, its
// input, and the Kubernetes objects that run it.
//
// Everything here is a pure function of configuration and input. The same
// attempt always has the same name, and different attempts never share one;
// that, not a lock, is what keeps an attempt from running twice.
package jobspec
