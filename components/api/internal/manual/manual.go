package manual

import (
	"bytes"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"

	"sigs.k8s.io/yaml"
)

var (
	//go:embed page.html
	page string
	//go:embed page.css
	style string
)

// Manual is a rendered page.
type Manual struct {
	HTML   []byte
	Policy string // its Content-Security-Policy: its own style, and nothing else
}

// New renders an OpenAPI document, given as YAML.
func New(contract []byte) (Manual, error) {
	asJSON, err := yaml.YAMLToJSONStrict(contract)
	if err != nil {
		return Manual{}, fmt.Errorf("read the contract: %w", err)
	}
	d := document{}
	if err := json.Unmarshal(asJSON, &d.root); err != nil {
		return Manual{}, fmt.Errorf("read the contract: %w", err)
	}
	tmpl, err := template.New("page").Funcs(template.FuncMap{"prose": prose}).Parse(page)
	if err != nil {
		return Manual{}, fmt.Errorf("read the page's template: %w", err)
	}
	var out bytes.Buffer
	err = tmpl.Execute(&out, struct {
		content
		Style template.CSS
	}{d.content(), template.CSS(style)}) //nolint:gosec // it is ours, and embedded
	if err != nil {
		return Manual{}, fmt.Errorf("render the contract: %w", err)
	}
	sum := sha256.Sum256([]byte(style))
	return Manual{HTML: out.Bytes(), Policy: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) +
		"'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"}, nil
}
