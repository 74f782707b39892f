package dns

import (
	"context"
	"errors"
	"path/filepath"
	"time"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/acme"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/disk"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/keys"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/manifest"
)

// issuer makes certificates.
type issuer interface {
	good(cert, key []byte, hosts []string, now time.Time) bool // it may be used on
	issue(ctx context.Context, name string, hosts []string, now time.Time) (cert, key []byte, err error)
	root() []byte // what it is trusted by; nil = what everybody trusts
}

// writeCertificate keeps the certificate in the Secret if it is still good,
// and otherwise puts a new one there.
func writeCertificate(ctx context.Context, n Names, o Options) error {
	unlock, err := o.Files.Lock(ctx, filepath.Join(o.AuthorityDir, "ca.key"))
	if err != nil {
		return err
	}
	defer unlock()
	var by issuer = server{o.ACME}
	if o.ACME == nil {
		if by, err = openAuthority(o.AuthorityDir, o.Files, o.Now); err != nil {
			return err
		}
	}
	hosts := []string{n.API(), n.Ingress()}
	cert, key, err := readPair(o.SecretPath)
	if err != nil {
		return err
	}
	if !by.good(cert, key, hosts, o.Now) {
		if o.ACME != nil && o.Files.Plan != nil {
			_, err := o.Files.Plan.Write([]byte("would obtain a certificate from " + o.ACME.Directory + "\n"))
			return err
		}
		if cert, key, err = by.issue(ctx, n.Name, hosts, o.Now); err != nil {
			return err
		}
	}
	data := map[string][]byte{"tls.crt": cert, "tls.key": key}
	if root := by.root(); root != nil {
		data["ca.crt"] = root
	}
	text, err := manifest.Secret(o.Secret, "kubernetes.io/tls", data)
	if err != nil {
		return errors.New("encode the certificate's Secret") // the cause could quote it
	}
	_, err = o.Files.Write(o.SecretPath, text, disk.Private)
	return err
}

// server is an ACME server as an issuer.
type server struct{ *acme.Issuer }

// good leaves the chain to whoever trusts it: its lives are the server's choice,
// so that it is renewed when a third of its life is left.
func (s server) good(certText, keyText []byte, hosts []string, now time.Time) bool {
	cert, ok := keys.Pair(certText, keyText, hosts)
	return ok && now.Before(cert.NotAfter.Add(-cert.NotAfter.Sub(cert.NotBefore)/3))
}

func (s server) issue(ctx context.Context, _ string, hosts []string, _ time.Time) (cert, key []byte, err error) {
	return s.Issue(ctx, hosts)
}

func (server) root() []byte { return nil }

// readPair reads the certificate and key of a Secret manifest. One that is not
// there or not readable gives none.
func readPair(path string) (cert, key []byte, err error) {
	text, err := disk.Read(path)
	if text == nil || err != nil {
		return nil, nil, err
	}
	secret, err := manifest.ParseSecret(text)
	if err != nil {
		return nil, nil, nil //nolint:nilerr // a broken manifest is written anew; the cause could quote the key
	}
	return secret.Data["tls.crt"], secret.Data["tls.key"], nil
}
