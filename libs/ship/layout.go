package ship

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// Images says which images are made and where.
type Images struct {
	Source
	Registry  string     // such as quay.io/hyperfleet
	Platforms []Platform // of several, a layout has an index of images
	Programs  []Program
	Out       string // gets <name>/, a layout, and <name>.<architecture>.cdx.json
}

// Write makes the images and tells log the reference and the digest of each.
func (i Images) Write(ctx context.Context, log io.Writer) error {
	if len(i.Platforms) == 0 {
		return errors.New("platforms: want at least one, such as linux/amd64")
	}
	if err := os.MkdirAll(i.Out, 0o755); err != nil { //nolint:gosec // for everybody
		return fmt.Errorf("make the directory of images: %w", err)
	}
	for _, p := range i.Programs {
		reference, err := Reference(i.Registry, p, i.Version)
		if err != nil {
			return err
		}
		digest, err := i.write(ctx, p, reference)
		if err != nil {
			return fmt.Errorf("make image %s: %w", p.Name, err)
		}
		fmt.Fprintf(log, "%s@%s\n", reference, digest)
	}
	return nil
}

// write makes the layout of one image.
func (i Images) write(ctx context.Context, p Program, reference string) (v1.Hash, error) {
	var all []v1.Image
	for _, platform := range i.Platforms {
		img, err := i.image(ctx, p, platform)
		if err != nil {
			return v1.Hash{}, err
		}
		all = append(all, img)
	}
	dir := filepath.Join(i.Out, p.Name)
	if err := os.RemoveAll(dir); err != nil { // an earlier one
		return v1.Hash{}, err
	}
	to, err := layout.Write(dir, empty.Index)
	if err != nil {
		return v1.Hash{}, err
	}
	// The first name is the tag, for skopeo and crane; the second all of it, for containerd.
	named := layout.WithAnnotations(map[string]string{
		"org.opencontainers.image.ref.name": i.Version,
		"io.containerd.image.name":          reference,
	})
	if len(all) == 1 {
		digest, err := all[0].Digest()
		return digest, errors.Join(err, to.AppendImage(all[0], named))
	}
	index := mutate.IndexMediaType(empty.Index, types.OCIImageIndex)
	for n, img := range all {
		index = mutate.AppendManifests(index, mutate.IndexAddendum{Add: img, Descriptor: v1.Descriptor{
			Platform: &v1.Platform{OS: i.Platforms[n].OS, Architecture: i.Platforms[n].Architecture},
		}})
	}
	digest, err := index.Digest()
	return digest, errors.Join(err, to.AppendIndex(index, named))
}

// image builds the program of a platform, lists what it is made of, and puts
// both into an image.
func (i Images) image(ctx context.Context, p Program, platform Platform) (v1.Image, error) {
	dir, err := os.MkdirTemp("", "hyperfleet-ship-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	program, info, err := p.build(ctx, i.Source, platform, dir)
	if err != nil {
		return nil, err
	}
	sbom, err := sbomOf(p, i.Source, info)
	if err != nil {
		return nil, err
	}
	beside := filepath.Join(i.Out, p.Name+"."+platform.Architecture+".cdx.json")
	if err := os.WriteFile(beside, sbom, 0o644); err != nil { //nolint:gosec // for everybody
		return nil, err
	}
	return image(p, i.Source, platform, program, sbom)
}
