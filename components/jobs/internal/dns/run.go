package dns

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/acme"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/disk"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/manifest"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/nameserver"
)

// zoneFile is how a zone file's name ends.
const zoneFile = ".zone"

// Data is what the job returns.
type Data struct {
	BaseDomain        string `json:"baseDomain"`
	APIHost           string `json:"apiHost"`
	IngressHost       string `json:"ingressHost"`
	ZoneFile          string `json:"zoneFile,omitempty"` // "" where a DNS provider has the names
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

	Provider *nameserver.Server // instead of zone files
	ACME     *acme.Issuer       // instead of the local authority; needs a provider
	Former   string             // base domain of an earlier spec; "" = there was none
}

// Run makes zone file or provider hold n and the Secret a certificate for its
// hosts. It returns the zone file's path, if there is one.
func Run(ctx context.Context, n Names, o Options) (path string, err error) {
	if err := n.check(); err != nil {
		return "", err
	}
	if o.Provider != nil {
		if err := o.atProvider(ctx, n); err != nil {
			return "", err
		}
		return "", writeCertificate(ctx, n, o)
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

// atProvider puts n there and removes the names of an earlier spec.
func (o Options) atProvider(ctx context.Context, n Names) error {
	if o.Files.Plan != nil {
		_, err := fmt.Fprintf(o.Files.Plan, "would make the DNS provider answer:\n%s\n", n)
		return err
	}
	if err := o.Provider.Put(ctx, n.claim()); err != nil {
		return err
	}
	if o.Former == "" || o.Former == n.BaseDomain {
		return nil
	}
	n.BaseDomain = o.Former
	_, err := o.Provider.Drop(ctx, n.claim())
	return err
}

// Remove removes the cluster's records and its certificate.
func Remove(ctx context.Context, n Names, o Options) error {
	if err := o.dropAll(ctx, n); err != nil {
		return err
	}
	_, err := o.Files.Remove(o.SecretPath)
	return err
}

// dropAll removes the records from every zone file, or at the provider below
// the base domains of this spec and of the one before.
func (o Options) dropAll(ctx context.Context, n Names) error {
	if o.Provider == nil {
		return dropElsewhere(ctx, "", n, o)
	}
	for _, base := range []string{n.BaseDomain, o.Former} {
		if base == "" {
			continue
		}
		n.BaseDomain = base
		if o.Files.Plan != nil {
			fmt.Fprintf(o.Files.Plan, "would remove at the DNS provider, if they are the cluster's:\n%s\n", n)
			continue
		}
		if _, err := o.Provider.Drop(ctx, n.claim()); err != nil {
			return err
		}
	}
	return nil
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
