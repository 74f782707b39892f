package dev

import (
	"fmt"
	"os"
	"strings"
)

// variable is one line of dev.env.
type variable struct{ name, value string }

// writeEnv writes the variables for a shell to source. Whoever waits for the
// file never reads half of it; it is for its owner alone, because it holds a
// token and a database's address may hold a password.
func writeEnv(path string, vars []variable) error {
	var b strings.Builder
	for _, v := range vars {
		fmt.Fprintf(&b, "%s=%s\n", v.name, quote(v.value))
	}
	return writePrivate(path, []byte(b.String()))
}

// writePrivate puts a file into place whole, readable by its owner alone.
func writePrivate(path string, text []byte) error {
	tmp := path + ".new"
	if err := os.WriteFile(tmp, text, 0o600); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// quote returns s in single quotes, as sh reads them.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// quoteIfNeeded returns s as a shell takes it for one word.
func quoteIfNeeded(s string) string {
	if strings.ContainsFunc(s, func(r rune) bool {
		return !strings.ContainsRune("/._-+:@%", r) && (r < '0' || r > '9') && (r < 'a' || r > 'z') && (r < 'A' || r > 'Z')
	}) {
		return quote(s)
	}
	return s
}
