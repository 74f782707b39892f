// Package pullsecret merges registry credentials into the pull secret of a
// cluster, a Secret manifest of type kubernetes.io/dockerconfigjson.
//
// Credentials go from file to file: no message, warning, error or log holds
// one, nor the text of a file that could not be read.
package pullsecret
