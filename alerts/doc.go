// Package alerts holds the Prometheus rules as files, and the tests that they
// are held to: Prometheus's own checks, a case in which each alert fires and one
// in which it does not, and a page for whoever it wakes.
//
// hyperfleet-v2.rules.yaml has the three specified alerts, byte for byte;
// compat.rules.yaml the recording rule without which the third can never fire.
package alerts
