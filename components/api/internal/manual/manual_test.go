package manual

import (
	"crypto/sha256"
	"encoding/base64"
	"html"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/hyperfleet/hyperfleet/libs/fleet/openapi"
)

func render(t *testing.T, contract string) (html, policy string) {
	t.Helper()
	m, err := New([]byte(contract))
	if err != nil {
		t.Fatal(err)
	}
	return string(m.HTML), m.Policy
}

func TestThePageHasEverythingThatTheContractHas(t *testing.T) {
	page, _ := render(t, string(openapi.API()))
	var doc document
	if err := yaml.Unmarshal(openapi.API(), &doc.root); err != nil {
		t.Fatal(err)
	}
	operations := 0
	for path, item := range sorted(doc.root["paths"]) {
		for method, op := range sorted(item) {
			operations++
			for _, want := range []string{`<article id="` + text(op["operationId"]) + `">`, `<b class="` + strings.ToUpper(method) + `">`, "<code>" + path + "</code>", html.EscapeString(text(op["summary"]))} {
				if !strings.Contains(page, want) {
					t.Errorf("%s %s: the page has no %s", method, path, want)
				}
			}
			for status := range sorted(op["responses"]) {
				if !strings.Contains(page, "<td>"+status+"</td>") {
					t.Errorf("%s %s: the page has no answer %s", method, path, status)
				}
			}
		}
	}
	components := doc.root["components"].(object)
	for name := range sorted(components["schemas"]) {
		if !strings.Contains(page, `<article id="schema-`+name+`">`) {
			t.Errorf("the page has no schema %s", name)
		}
	}
	for _, p := range sorted(components["parameters"]) {
		if !strings.Contains(page, "<td><code>"+text(p["name"])+"</code>") {
			t.Errorf("the page has no parameter %s", text(p["name"]))
		}
	}
	if n := strings.Count(page, "<article") - strings.Count(page, `<article id="schema-`); n != operations || n == 0 {
		t.Errorf("the page has %d operations, the contract %d", n, operations)
	}
}

func TestThePageNeedsNothingElse(t *testing.T) {
	html, policy := render(t, string(openapi.API()))
	ids := map[string]bool{}
	for _, m := range regexp.MustCompile(` id="([^"]*)"`).FindAllStringSubmatch(html, -1) {
		if ids[m[1]] {
			t.Errorf("two things have the id %s", m[1])
		}
		ids[m[1]] = true
	}
	links := regexp.MustCompile(` href="([^"]*)"`).FindAllStringSubmatch(html, -1)
	for _, m := range links {
		if anchor, ok := strings.CutPrefix(m[1], "#"); ok && !ids[anchor] || !ok && m[1] != "openapi.yaml" {
			t.Errorf("a link leads to %s", m[1])
		}
	}
	if len(links) < 50 {
		t.Errorf("only %d links", len(links))
	}
	for _, never := range []string{"<script", "<link", "<img", "<iframe", "<form", " src=", " style=", "url(", "@import", " onclick", "javascript:", "ZgotmplZ"} {
		if strings.Contains(html, never) {
			t.Errorf("the page has %s", never)
		}
	}
	css := regexp.MustCompile(`(?s)<style>(.*)</style>`).FindStringSubmatch(html)
	if css == nil {
		t.Fatal("the page has no style")
	}
	sum := sha256.Sum256([]byte(css[1]))
	if !strings.HasPrefix(policy, "default-src 'none'; ") || !strings.Contains(policy, "'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") || strings.Contains(policy, "unsafe") {
		t.Errorf("the policy is %s", policy)
	}
}

func TestTextOfTheContractStaysText(t *testing.T) {
	html, _ := render(t, `
openapi: 3.1.0
info: {title: '<script>alert(1)</script>', version: '"><x', description: "a `+"`<b>`"+` c\n\nd"}
paths:
  /<i>:
    get:
      operationId: one" onclick="x
      summary: <img src=x>
      tags: [nobody's]
      parameters: [{name: <u>, in: query, schema: {enum: [<s>]}}]
      responses: {'200': {description: <p>}}
`)
	for _, never := range []string{"<script", "<img", "<i>", "<u>", "<s>", "<x", "<b>", `" onclick="`, "<p><p>"} {
		if strings.Contains(html, never) {
			t.Errorf("the page has %s", never)
		}
	}
	if !strings.Contains(html, "<p>a <code>&lt;b&gt;</code> c</p><p>d</p>") {
		t.Errorf("paragraphs and code are lost:\n%s", html)
	}
}

func TestWhatIsNoContractIsRefused(t *testing.T) {
	for _, text := range []string{"a: b: c", "- 1", "a: 1\na: 2"} {
		if _, err := New([]byte(text)); err == nil {
			t.Errorf("%q was rendered", text)
		}
	}
}
