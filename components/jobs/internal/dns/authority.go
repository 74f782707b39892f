package dns

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"path/filepath"
	"time"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/disk"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/keys"
)

// Lives of certificates.
const (
	leafLife      = 90 * 24 * time.Hour
	renewBefore   = 30 * 24 * time.Hour
	authorityLife = 10 * 365 * 24 * time.Hour
	backdate      = 5 * time.Minute // for clocks that are behind
)

// authority is the local certificate authority.
type authority struct {
	cert *x509.Certificate
	pem  []byte
	key  crypto.Signer
}

// openAuthority reads the authority in dir (ca.crt, ca.key), which is made on
// first use. Its key is never made twice; its certificate is signed anew, with
// the same key, before a leaf could outlive it. The caller holds the lock.
func openAuthority(dir string, files disk.Files, now time.Time) (*authority, error) {
	keyPath, certPath := filepath.Join(dir, "ca.key"), filepath.Join(dir, "ca.crt")
	keyText, err := disk.Read(keyPath)
	if err != nil {
		return nil, err
	}
	certText, err := disk.Read(certPath)
	if err != nil {
		return nil, err
	}
	if keyText == nil && certText != nil {
		return nil, fmt.Errorf("%s has no key: restore ca.key, or remove ca.crt to begin a new authority", certPath)
	}
	a := &authority{}
	if keyText == nil {
		if a.key, keyText, err = keys.New(); err != nil {
			return nil, err
		}
		if _, err := files.Write(keyPath, keyText, disk.Private); err != nil {
			return nil, err
		}
	} else if a.key, err = keys.Parse(keyText); err != nil {
		return nil, fmt.Errorf("read %s: %w", keyPath, err)
	}
	if certText != nil {
		if a.cert, err = keys.Certificate(certText); err != nil {
			return nil, fmt.Errorf("read %s: %w", certPath, err)
		}
		if !keys.Certifies(a.cert, a.key) {
			return nil, fmt.Errorf("%s and ca.key do not belong together: restore the right one", certPath)
		}
		a.pem = certText
	}
	if a.cert == nil || a.cert.NotAfter.Before(now.Add(leafLife)) {
		if err := a.sign(now); err != nil {
			return nil, err
		}
		if _, err := files.Write(certPath, a.pem, disk.Readable); err != nil {
			return nil, err
		}
	}
	return a, nil
}

// sign makes the authority's own certificate.
func (a *authority) sign(now time.Time) error {
	serial, err := newSerial()
	if err != nil {
		return err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "HyperFleet local CA"},
		NotBefore: now.Add(-backdate), NotAfter: now.Add(authorityLife),
		IsCA: true, BasicConstraintsValid: true, MaxPathLenZero: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return fmt.Errorf("sign the CA certificate: %w", err)
	}
	a.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("read the CA certificate: %w", err)
	}
	return nil
}

// issue makes a certificate for host names.
func (a *authority) issue(_ context.Context, name string, hosts []string, now time.Time) (cert, key []byte, err error) {
	signer, key, err := keys.New()
	if err != nil {
		return nil, nil, err
	}
	serial, err := newSerial()
	if err != nil {
		return nil, nil, err
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: name}, DNSNames: hosts,
		NotBefore: now.Add(-backdate), NotAfter: now.Add(leafLife),
		BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, signer.Public(), a.key)
	if err != nil {
		return nil, nil, fmt.Errorf("sign a certificate: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key, nil
}

// good says whether a certificate and its key may be used on: for exactly
// these hosts, from this authority, for more than 30 days.
func (a *authority) good(certText, keyText []byte, hosts []string, now time.Time) bool {
	cert, ok := keys.Pair(certText, keyText, hosts)
	if !ok {
		return false
	}
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	_, err := cert.Verify(x509.VerifyOptions{Roots: roots, CurrentTime: now.Add(renewBefore)})
	return err == nil
}

// root is the authority's own certificate.
func (a *authority) root() []byte { return a.pem }

func newSerial() (*big.Int, error) {
	serial, err := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 127))
	if err != nil {
		return nil, fmt.Errorf("make a serial number: %w", err)
	}
	return serial.Add(serial, big.NewInt(1)), nil
}
