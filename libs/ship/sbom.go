package ship

import (
	"bytes"
	"cmp"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

// sbomOf lists what a program is made of: its modules, as the linker wrote them
// down, and Go's own library.
func sbomOf(p Program, s Source, info *debug.BuildInfo) ([]byte, error) {
	list := cdx.NewBOM()
	list.Metadata = &cdx.Metadata{
		Timestamp: s.Time.Format(time.RFC3339),
		Component: &cdx.Component{
			BOMRef: "program", Type: cdx.ComponentTypeApplication, Name: p.Command, Version: s.Version, Description: p.Title,
			PackageURL: packageURL(info.Main.Path, s.Version), Licenses: &cdx.Licenses{{License: &cdx.License{ID: "Apache-2.0"}}},
		},
	}
	components := []cdx.Component{module("std", strings.TrimPrefix(info.GoVersion, "go"), "")}
	for _, m := range info.Deps {
		path, version, sum := m.Path, m.Version, m.Sum
		switch r := m.Replace; {
		case r == nil:
		case strings.HasPrefix(r.Path, "."): // of this repository
			version, sum = s.Version, ""
		default:
			path, version, sum = r.Path, r.Version, r.Sum
		}
		components = append(components, module(path, version, sum))
	}
	list.Components = &components
	var names []string
	for _, c := range components {
		names = append(names, c.BOMRef)
	}
	list.Dependencies = &[]cdx.Dependency{{Ref: "program", Dependencies: &names}}
	var text bytes.Buffer
	if err := cdx.NewBOMEncoder(&text, cdx.BOMFileFormatJSON).SetPretty(true).Encode(list); err != nil {
		return nil, fmt.Errorf("list what %s is made of: %w", p.Command, err)
	}
	return text.Bytes(), nil
}

// module is a component with Go's checksum of it, if there is one.
func module(path, version, sum string) cdx.Component {
	url := packageURL(path, version)
	c := cdx.Component{BOMRef: url, Type: cdx.ComponentTypeLibrary, Name: path, Version: version, PackageURL: url}
	if sum != "" {
		c.Properties = &[]cdx.Property{{Name: "go:sum", Value: sum}}
	}
	return c
}

func packageURL(path, version string) string {
	return "pkg:golang/" + path + "@" + strings.ReplaceAll(cmp.Or(version, "unknown"), "+", "%2B")
}
