package hyperfleet

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const modulePath = "github.com/hyperfleet/hyperfleet"

// Limits of the house, in lines.
const (
	mostLinesOfAFile     = 500
	mostLinesOfAMain     = 60
	mostLinesOfAMakefile = 150
)

// topLevel are the entries that the root may have; those of folders which come
// with their content are listed already.
var topLevel = []string{
	".ci", ".dockerignore", ".editorconfig", ".gitattributes", ".github", ".gitignore", ".golangci.yml", ".tools",
	"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "README.md", "SECURITY.md",
	"doc.go", "go.mod", "go.work", "go.work.sum", "house_test.go",
	"alerts", "charts", "components", "dashboards", "docs", "kustomize", "libs", "loadtest",
}

// house is the source tree as the rules see it.
type house struct {
	root    []string          // top-level entries
	modules map[string]string // directory -> text of its go.mod
	text    map[string]string // path -> text, of every text file
	sources []source
}

// source is one Go file.
type source struct {
	path, dir, module string // module = directory of its module
	syntax            *ast.File
	lines             int
	generated         bool
}

func (s source) isTest() bool { return strings.HasSuffix(s.path, "_test.go") }

// survey reads a tree. tracked says which files count: what was built does not.
func survey(tree fs.FS, tracked func(string) bool) (house, error) {
	h := house{modules: map[string]string{}, text: map[string]string{}}
	err := fs.WalkDir(tree, ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !tracked(p) {
			return err
		}
		if top, _, _ := strings.Cut(p, "/"); !slices.Contains(h.root, top) {
			h.root = append(h.root, top)
		}
		text, err := fs.ReadFile(tree, p)
		if err != nil {
			return err
		}
		if bytes.IndexByte(text, 0) < 0 {
			h.text[p] = string(text)
		}
		if path.Base(p) == "go.mod" {
			h.modules[path.Dir(p)] = string(text)
		}
		return nil
	})
	if err != nil {
		return h, err
	}
	return h, h.parse()
}

func (h *house) parse() error {
	fset := token.NewFileSet()
	for _, p := range slices.Sorted(maps.Keys(h.text)) {
		if !strings.HasSuffix(p, ".go") || strings.Contains(p, "/testdata/") {
			continue
		}
		syntax, err := parser.ParseFile(fset, p, h.text[p], parser.ParseComments)
		if err != nil {
			return err
		}
		h.sources = append(h.sources, source{path: p, dir: path.Dir(p), module: h.moduleOf(path.Dir(p)), syntax: syntax,
			lines: strings.Count(h.text[p], "\n"), generated: ast.IsGenerated(syntax)})
	}
	return nil
}

// moduleOf returns the directory of the module that a directory belongs to.
func (h *house) moduleOf(dir string) string {
	for ; dir != "."; dir = path.Dir(dir) {
		if _, ok := h.modules[dir]; ok {
			return dir
		}
	}
	return "."
}

// imports yields the directories inside the house that a file imports.
func (s source) imports() []string {
	var dirs []string
	for _, spec := range s.syntax.Imports {
		p, _ := strconv.Unquote(spec.Path.Value) // the parser accepted it
		if p == modulePath {
			dirs = append(dirs, ".")
		} else if dir, ok := strings.CutPrefix(p, modulePath+"/"); ok {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

// component is the name of the component that a directory belongs to, or "".
func component(dir string) string {
	rest, ok := strings.CutPrefix(dir, "components/")
	if !ok {
		return ""
	}
	name, _, _ := strings.Cut(rest, "/")
	return name
}

func (h *house) corridorsRunOneWay() (problems []string) {
	for _, s := range h.sources {
		for _, to := range s.imports() {
			if why := wrongWay(s, h.moduleOf(to), to); why != "" {
				problems = append(problems, fmt.Sprintf("%s imports %s: %s", s.path, to, why))
			}
		}
	}
	return problems
}

// wrongWay says what is wrong with an import, or "".
func wrongWay(s source, toModule, to string) string {
	from, other := component(s.dir), component(to)
	main := path.Base(s.path) == "main.go" && path.Base(path.Dir(s.dir)) == "cmd"
	switch {
	case s.module == toModule:
		return ""
	case s.module == "." || toModule == ".":
		return "the lobby imports nobody and is imported by nobody"
	case strings.Contains(to+"/", "/internal/"):
		return "internal packages are for their own module"
	case s.module == "libs/fleet":
		return "the vocabulary requires nothing"
	case strings.HasPrefix(s.module, "libs/") && other != "":
		return "a lib never imports a component"
	case other != "" && other != from && from != "hyperfleet":
		return "only components/hyperfleet composes components"
	case other != "" && other != from && to != "components/"+other:
		return "a component is entered by its face"
	case to == "libs/broker/rabbitmq/rabbitdev" && s.isTest():
		return "" // a broker for tests, not its driver
	case (toModule == "libs/broker/rabbitmq" || toModule == "libs/broker/pubsub") && !main:
		return "a broker driver is named in a main.go alone"
	case toModule == "libs/pgdev" && !s.isTest() && from != "hyperfleet":
		return "it is for tests and `hyperfleet dev`"
	case toModule == "libs/kubedev" && !s.isTest():
		return "it is for tests"
	}
	return ""
}

func (h *house) theVocabularyRequiresNothing() (problems []string) {
	if strings.Contains(h.modules["libs/fleet"], "require") {
		problems = append(problems, "libs/fleet/go.mod requires something")
	}
	return problems
}

func (h *house) everyModuleIsInTheWorkspace() (problems []string) {
	for dir := range h.modules {
		use := "\t./" + dir + "\n"
		if dir == "." {
			use = "\t.\n"
		}
		if isTool := strings.HasPrefix(dir, ".tools/"); isTool == strings.Contains(h.text["go.work"], use) {
			problems = append(problems, dir+": modules are in go.work, tools are not")
		}
	}
	return problems
}

var goLine = regexp.MustCompile(`(?m)^(go|toolchain) .*$`)

func (h *house) thereIsOneGoVersion() (problems []string) {
	want := goLine.FindString(h.text["go.mod"])
	for p, text := range h.text {
		if base := path.Base(p); base != "go.mod" && base != "go.work" {
			continue
		}
		if got := goLine.FindAllString(text, -1); len(got) != 1 || got[0] != want {
			problems = append(problems, fmt.Sprintf("%s says %q, want %q alone", p, got, want))
		}
	}
	return problems
}

func (h *house) theRootHoldsWhatItMay() (problems []string) {
	for _, name := range h.root {
		if !slices.Contains(topLevel, name) {
			problems = append(problems, name+" is no top-level entry of the house")
		}
	}
	return problems
}

func (h *house) filesAreShort() (problems []string) {
	for _, s := range h.sources {
		most := mostLinesOfAFile
		if path.Base(s.path) == "main.go" {
			most = mostLinesOfAMain
		}
		if s.lines > most && !s.generated {
			problems = append(problems, fmt.Sprintf("%s has %d lines, at most %d are allowed", s.path, s.lines, most))
		}
	}
	if n := strings.Count(h.text["Makefile"], "\n"); n > mostLinesOfAMakefile {
		problems = append(problems, fmt.Sprintf("Makefile has %d lines, at most %d are allowed", n, mostLinesOfAMakefile))
	}
	return problems
}

func (h *house) everyPackageSaysItsPurpose() (problems []string) {
	says := map[string]bool{}
	for _, s := range h.sources {
		name := s.syntax.Name.Name
		if s.isTest() && strings.HasSuffix(name, "_test") {
			continue
		}
		says[s.dir] = says[s.dir] || s.syntax.Doc.Text() != ""
	}
	for dir, ok := range says {
		if !ok {
			problems = append(problems, dir+" has no package comment (doc.go)")
		}
	}
	return problems
}

func (h *house) noRoomIsALumberRoom() (problems []string) {
	for _, s := range h.sources {
		if slices.Contains([]string{"util", "utils", "common", "helpers", "models", "types", "mocks", "pkg"}, s.syntax.Name.Name) {
			problems = append(problems, s.path+": package "+s.syntax.Name.Name+" says nothing")
		}
	}
	return problems
}

// processWide are names of packages that read or change state of the whole process.
var processWide = map[string][]string{
	"log/slog": {"SetDefault", "Default", "Info", "Warn", "Error", "Debug", "InfoContext", "WarnContext", "ErrorContext", "DebugContext"},
	"log":      {"SetOutput", "SetFlags", "SetPrefix", "Print", "Printf", "Println", "Fatal", "Fatalf", "Fatalln"},
	"net/http": {"DefaultServeMux", "Handle", "HandleFunc", "ListenAndServe", "ListenAndServeTLS", "DefaultClient", "DefaultTransport"},
	"github.com/prometheus/client_golang/prometheus":          {"MustRegister", "Register", "Unregister", "DefaultRegisterer", "DefaultGatherer"},
	"github.com/prometheus/client_golang/prometheus/promauto": {"NewCounter", "NewCounterVec", "NewGauge", "NewGaugeVec", "NewGaugeFunc", "NewHistogram", "NewHistogramVec"},
	"github.com/prometheus/client_golang/prometheus/promhttp": {"Handler"},
}

func (h *house) nothingIsProcessWide() (problems []string) {
	for _, s := range h.sources {
		if s.generated {
			continue
		}
		local := map[string][]string{} // name in this file -> forbidden members
		for _, spec := range s.syntax.Imports {
			p, _ := strconv.Unquote(spec.Path.Value) // the parser accepted it
			name := path.Base(p)
			if spec.Name != nil {
				name = spec.Name.Name
			}
			local[name] = processWide[p]
		}
		ast.Inspect(s.syntax, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncDecl:
				if n.Recv == nil && n.Name.Name == "init" {
					problems = append(problems, s.path+" has an init function")
				}
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && slices.Contains(local[x.Name], n.Sel.Name) {
					problems = append(problems, fmt.Sprintf("%s uses %s.%s, which is process-wide", s.path, x.Name, n.Sel.Name))
				}
			}
			return true
		})
	}
	return problems
}

// Paths of somebody's machine, and work left for later. The patterns are put
// together so that they do not find themselves.
var (
	machinePath = regexp.MustCompile(`(^|[\s"'=(:])/(` + `wo` + `rk|ro` + `ot|ho` + `me|Us` + `ers)/\w`)
	leftOver    = regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|XX` + `X)\b`)
)

func (h *house) nothingIsLeftOver() (problems []string) {
	for p, text := range h.text {
		if path.Base(p) == "go.sum" || path.Base(p) == "go.work.sum" {
			continue
		}
		for n, line := range strings.Split(text, "\n") {
			if machinePath.MatchString(line) {
				problems = append(problems, fmt.Sprintf("%s:%d names a path of somebody's machine", p, n+1))
			}
			if strings.HasSuffix(p, ".go") && leftOver.MatchString(line) {
				problems = append(problems, fmt.Sprintf("%s:%d leaves work for later", p, n+1))
			}
		}
	}
	return problems
}

// goFile is a fixture's file that imports dirs of the house.
func goFile(pkg string, imports ...string) *fstest.MapFile {
	text := "// Package " + pkg + " is a fixture.\npackage " + pkg + "\n"
	for _, p := range imports {
		text += "import _ " + strconv.Quote(p) + "\n"
	}
	return &fstest.MapFile{Data: []byte(text)}
}

func textFile(text string) *fstest.MapFile { return &fstest.MapFile{Data: []byte(text)} }

// fixture is a small house in which every rule is kept.
func fixture() fstest.MapFS {
	tree := fstest.MapFS{
		"doc.go": goFile("hyperfleet"), "Makefile": textFile("help:\n"),
		"go.work":                                textFile("go 1.26.0\n\nuse (\n\t.\n\t./libs/fleet\n\t./libs/pgdev\n\t./libs/kubedev\n\t./libs/broker/pubsub\n\t./components/api\n\t./components/jobs\n\t./components/hyperfleet\n)\n"),
		"libs/fleet/doc.go":                      goFile("fleet"),
		"libs/pgdev/doc.go":                      goFile("pgdev"),
		"libs/kubedev/doc.go":                    goFile("kubedev"),
		"libs/broker/pubsub/doc.go":              goFile("pubsub"),
		"components/api/doc.go":                  goFile("api", modulePath+"/libs/fleet"),
		"components/api/api_test.go":             goFile("api", modulePath+"/libs/pgdev"),
		"components/api/cmd/api/main.go":         goFile("main", modulePath+"/components/api", modulePath+"/libs/broker/pubsub"),
		"components/api/internal/rest/doc.go":    goFile("rest"),
		"components/jobs/doc.go":                 goFile("jobs"),
		"components/hyperfleet/dev/doc.go":       goFile("dev", modulePath+"/components/api", modulePath+"/libs/pgdev"),
		".tools/lint/go.mod":                     textFile("module lint\n\ngo 1.26.0\n"),
		"components/api/testdata/ignored/bad.go": goFile("util"),
	}
	for _, dir := range []string{".", "libs/fleet", "libs/pgdev", "libs/kubedev", "libs/broker/pubsub", "components/api", "components/jobs", "components/hyperfleet"} {
		tree[path.Join(dir, "go.mod")] = textFile("module x\n\ngo 1.26.0\n")
	}
	return tree
}

// rules are the rules of the house, each with files that break it.
var rules = map[string]struct {
	check  func(*house) []string
	broken []fstest.MapFS
}{
	"corridors run one way": {(*house).corridorsRunOneWay, []fstest.MapFS{
		{"libs/pgdev/x.go": goFile("pgdev", modulePath+"/components/api")},
		{"components/api/x.go": goFile("api", modulePath+"/components/jobs")},
		{"components/hyperfleet/dev/x.go": goFile("dev", modulePath+"/components/api/internal/rest")},
		{"components/hyperfleet/dev/x.go": goFile("dev", modulePath+"/components/api/cmd/api")},
		{"components/api/x.go": goFile("api", modulePath+"/libs/broker/pubsub")},
		{"components/api/x.go": goFile("api", modulePath+"/libs/pgdev")},
		{"components/api/x.go": goFile("api", modulePath+"/libs/kubedev")},
		{"components/hyperfleet/dev/x.go": goFile("dev", modulePath+"/libs/kubedev")},
		{"components/api/x.go": goFile("api", modulePath)},
		{"libs/fleet/x.go": goFile("fleet", modulePath+"/libs/pgdev")},
		{"x.go": goFile("hyperfleet", modulePath+"/libs/fleet")},
	}},
	"the vocabulary requires nothing": {(*house).theVocabularyRequiresNothing, []fstest.MapFS{
		{"libs/fleet/go.mod": textFile("module x\n\ngo 1.26.0\n\nrequire y v1.0.0\n")},
	}},
	"every module is in the workspace": {(*house).everyModuleIsInTheWorkspace, []fstest.MapFS{
		{"libs/new/go.mod": textFile("module x\n\ngo 1.26.0\n")},
	}},
	"there is one Go version": {(*house).thereIsOneGoVersion, []fstest.MapFS{
		{"libs/fleet/go.mod": textFile("module x\n\ngo 1.25.0\n")},
		{".tools/lint/go.mod": textFile("module lint\n\ngo 1.26.0\n\ntoolchain go1.26.8\n")},
	}},
	"the root holds what it may": {(*house).theRootHoldsWhatItMay, []fstest.MapFS{{"notes.txt": textFile("")}}},
	"files are short": {(*house).filesAreShort, []fstest.MapFS{
		{"libs/fleet/x.go": textFile("package fleet\n" + strings.Repeat("//\n", mostLinesOfAFile))},
		{"components/api/cmd/api/main.go": textFile("package main\n" + strings.Repeat("//\n", mostLinesOfAMain))},
		{"Makefile": textFile(strings.Repeat("\n", mostLinesOfAMakefile+1))},
	}},
	"every package says its purpose": {(*house).everyPackageSaysItsPurpose, []fstest.MapFS{{"libs/fleet/new/x.go": textFile("package new\n")}}},
	"no room is a lumber room":       {(*house).noRoomIsALumberRoom, []fstest.MapFS{{"libs/fleet/util/x.go": goFile("util")}}},
	"nothing is process-wide": {(*house).nothingIsProcessWide, []fstest.MapFS{
		{"libs/fleet/x.go": textFile("package fleet\nfunc init() {}\n")},
		{"libs/fleet/x.go": textFile("package fleet\nimport \"log/slog\"\nvar l = slog.Default()\n")},
		{"libs/fleet/x.go": textFile("package fleet\nimport \"net/http\"\nvar c = http.DefaultClient\n")},
		{"libs/fleet/x.go": textFile("package fleet\nimport p \"github.com/prometheus/client_golang/prometheus\"\nvar r = p.DefaultRegisterer\n")},
		{"libs/fleet/x.go": textFile("package fleet\nimport \"net/http\"\nvar m = http.DefaultServeMux\n")},
	}},
	"nothing is left over": {(*house).nothingIsLeftOver, []fstest.MapFS{
		{"docs/x.md": textFile("see /ho" + "me/ada/x\n")},
		{"libs/fleet/x.go": textFile("package fleet\n// TO" + "DO: finish\n")},
	}},
}

func everything(string) bool { return true }

func TestTheHouseKeepsItsRules(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "git", "ls-files", "--cached", "--others", "--exclude-standard").Output()
	if err != nil {
		t.Fatalf("list the house's files: %v", err)
	}
	files := strings.Split(strings.TrimSpace(string(out)), "\n")
	h, err := survey(os.DirFS("."), func(p string) bool { return slices.Contains(files, p) })
	if err != nil {
		t.Fatal(err)
	}
	if len(h.sources) < 50 || len(h.modules) < 10 {
		t.Fatalf("only %d sources in %d modules were found", len(h.sources), len(h.modules))
	}
	for name, rule := range rules {
		for _, problem := range rule.check(&h) {
			t.Errorf("%s: %s", name, problem)
		}
	}
}

func TestEveryRuleCanBeBroken(t *testing.T) {
	t.Parallel()
	for name, rule := range rules {
		kept, err := survey(fixture(), everything)
		if err != nil {
			t.Fatal(err)
		}
		if problems := rule.check(&kept); len(problems) > 0 {
			t.Errorf("%s: the house that keeps every rule is said to break it: %v", name, problems)
		}
		for i, files := range rule.broken {
			tree := fixture()
			maps.Copy(tree, files)
			broken, err := survey(tree, everything)
			if err != nil {
				t.Fatal(err)
			}
			if len(rule.check(&broken)) == 0 {
				t.Errorf("%s: example %d breaks it and nobody notices", name, i)
			}
		}
	}
}

// Images are built from one module at a time, without the workspace.
func TestEveryModuleIsCompleteByItself(t *testing.T) {
	t.Parallel()
	h, err := survey(os.DirFS("."), func(p string) bool { return path.Base(p) == "go.mod" })
	if err != nil {
		t.Fatal(err)
	}
	for dir := range h.modules {
		if strings.HasPrefix(dir, ".tools/") {
			continue
		}
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-test", "./...")
			cmd.Dir = dir
			cmd.Env = append(os.Environ(), "GOWORK=off")
			if _, err := cmd.Output(); err != nil {
				exit := (*exec.ExitError)(nil)
				if errors.As(err, &exit) {
					t.Fatalf("%v\n%s", err, exit.Stderr)
				}
				t.Fatal(err)
			}
		})
	}
}
