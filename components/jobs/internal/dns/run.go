package dns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/disk"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/manifest"
)

// zoneFile is how a zone file's name ends.
const zoneFile = ".zone"

// Data is what the job returns.
type Data struct {
	BaseDomain        string `json:"baseDomain"`
	APIHost           string `json:"apiHost"`
	IngressHost       string `json:"ingressHost"`
	ZoneFile          string `json:"zoneFile"`
	CertificateSecret string `json:"certificateSecret"`
}

// Options say where names and certificates are kept.
type Options struct {
	ZoneDir      string // <base domain>.zone
	AuthorityDir string // ca.crt and ca.key
	NameServer   string // of new zones
	SecretPath   string // of the certificate's manifest
	Secret       manifest.Meta
	Now          time.Time
	Files        disk.Files
}

// Run makes the zone file hold n and the Secret a certificate for its hosts.
// It returns the zone file's path.
func Run(ctx context.Context, n Names, o Options) (path string, err error) {
	if err := n.check(); err != nil {
		return "", err
	}
	path = filepath.Join(o.ZoneDir, n.BaseDomain+zoneFile)
	if err := writeRecords(ctx, path, n, o); err != nil {
		return "", err
	}
	if err := dropElsewhere(ctx, path, n, o); err != nil {
		return "", err
	}
	return path, writeCertificate(ctx, n, o)
}

// Remove removes the cluster's records from every zone file, and its
// certificate.
func Remove(ctx context.Context, n Names, o Options) error {
	if err := dropElsewhere(ctx, "", n, o); err != nil {
		return err
	}
	_, err := o.Files.Remove(o.SecretPath)
	return err
}

func writeRecords(ctx context.Context, path string, n Names, o Options) error {
	return change(ctx, o.Files, path,
		func(z *zone) (bool, error) { return z.put(n) },
		func() *zone { return newZone(n.BaseDomain, o.NameServer) })
}

// dropElsewhere removes the names that the cluster has in zone files other than
// path: those below another base domain before its spec changed.
func dropElsewhere(ctx context.Context, path string, n Names, o Options) error {
	files, err := filepath.Glob(filepath.Join(o.ZoneDir, "*"+zoneFile))
	if err != nil {
		return fmt.Errorf("list the zone files: %w", err)
	}
	for _, file := range files {
		if file == path {
			continue
		}
		text, err := disk.Read(file)
		if err != nil {
			return err
		}
		if !bytes.Contains(text, []byte("cluster="+n.Cluster)) {
			continue
		}
		if err := change(ctx, o.Files, file, func(z *zone) (bool, error) { return z.drop(n.Cluster), nil }, nil); err != nil {
			return err
		}
	}
	return nil
}

// change applies an edit to a zone file under its lock. fresh makes the zone
// of a file that does not exist; nil leaves such a file alone. What is written
// has been read back and checked.
func change(ctx context.Context, files disk.Files, path string, edit func(*zone) (bool, error), fresh func() *zone) error {
	unlock, err := files.Lock(ctx, path)
	if err != nil {
		return err
	}
	defer unlock()
	text, err := disk.Read(path)
	if err != nil {
		return err
	}
	name := strings.TrimSuffix(filepath.Base(path), zoneFile)
	var z *zone
	switch {
	case text != nil:
		if z, err = parseZone(name, text); err != nil {
			return fmt.Errorf("read the zone file %s, which is left as it is: %w", path, err)
		}
	case fresh == nil:
		return nil
	default:
		z = fresh()
	}
	changed, err := edit(z)
	if err != nil || !changed {
		return err
	}
	next := z.text()
	again, err := parseZone(name, next)
	if err == nil && !bytes.Equal(again.text(), next) {
		err = errors.New("it reads back differently")
	}
	if err != nil {
		return fmt.Errorf("check the new zone file %s: %w", path, err)
	}
	_, err = files.Write(path, next, disk.Readable)
	return err
}

// writeCertificate keeps the certificate in the Secret if it is still good,
// and otherwise puts a new one there.
func writeCertificate(ctx context.Context, n Names, o Options) error {
	unlock, err := lockAuthority(ctx, o.AuthorityDir, o.Files)
	if err != nil {
		return err
	}
	defer unlock()
	a, err := openAuthority(o.AuthorityDir, o.Files, o.Now)
	if err != nil {
		return err
	}
	hosts := []string{n.API(), n.Ingress()}
	cert, key, err := readPair(o.SecretPath)
	if err != nil {
		return err
	}
	if !a.good(cert, key, hosts, o.Now) {
		if cert, key, err = a.issue(n.Name, hosts, o.Now); err != nil {
			return err
		}
	}
	text, err := manifest.Secret(o.Secret, "kubernetes.io/tls", map[string][]byte{"tls.crt": cert, "tls.key": key, "ca.crt": a.pem})
	if err != nil {
		return errors.New("encode the certificate's Secret") // the cause could quote it
	}
	_, err = o.Files.Write(o.SecretPath, text, disk.Private)
	return err
}

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
