package validation

import (
	"embed"
	"io/fs"
)

//go:embed bundle
var shippedBundle embed.FS

// Shipped is the bundle that comes with the job.
func Shipped() (Bundle, error) {
	dir, err := fs.Sub(shippedBundle, "bundle")
	if err != nil {
		return Bundle{}, err
	}
	return read("(shipped)", dir)
}
