package ship

import (
	"bytes"
	"encoding/pem"
	"fmt"

	"golang.org/x/crypto/x509roots/fallback/bundle"
)

// certificatesPath is where Go looks first.
const certificatesPath = "etc/ssl/certs/ca-certificates.crt"

// certificates are the authorities that Mozilla trusts without a condition, as
// the module pins them: the machine's own would make another image on each.
func certificates() ([]byte, error) {
	var text bytes.Buffer
	for root := range bundle.Roots() {
		if root.Constraint != nil { // a file of certificates cannot say it
			continue
		}
		if err := pem.Encode(&text, &pem.Block{Type: "CERTIFICATE", Bytes: root.Certificate}); err != nil {
			return nil, fmt.Errorf("write the certificate authorities: %w", err)
		}
	}
	return text.Bytes(), nil
}
