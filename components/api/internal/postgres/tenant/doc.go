// Package tenant is the one place that decides whose resources a request sees.
package tenant
