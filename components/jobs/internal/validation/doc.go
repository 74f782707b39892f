// Package validation judges a cluster's spec by a file of policies, which are
// CEL expressions that must hold.
//
// A policy file is compiled and type-checked as a whole before anything is
// judged; evaluation is bounded in cost and time. What a policy cannot judge,
// it refuses.
package validation
