// Package keys makes and reads the keys of certificates, and looks at
// certificates beside them. Its errors quote nothing of a key.
package keys
