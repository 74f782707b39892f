// Package service is what every HyperFleet process needs around its work:
// settings, logging, a run group, health, an admin server and a version.
//
// A process's main is a [Program]: its settings, what judges them and what runs.
// Nothing here is global: loggers, registries and listeners are handed on.
package service
