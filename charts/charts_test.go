package charts

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"k8s.io/client-go/kubernetes/scheme"

	"github.com/hyperfleet/hyperfleet/charts/render"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/kubedev"
)

func TestMain(m *testing.M) {
	if err := readAll("hyperfleet", "hyperfleet-crds", "testdata"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	kubedev.Main(m)
}

// readAll reads what the tools read: `go test` repeats what it remembers unless
// a file changed that the test itself read.
func readAll(dirs ...string) error {
	for _, dir := range dirs {
		err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				_, err = os.ReadFile(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

const root = ".."

// helms are the versions of Helm that the charts are for.
var helms = []string{"helm", "helm3"}

// tool is a pinned tool; where it is not built the test says so.
func tool(t testing.TB, name string) string {
	t.Helper()
	path, err := render.Tool(root, name)
	if err != nil {
		if os.Getenv("REQUIRE") == "all" {
			t.Fatal(err)
		}
		t.Skip("SKIPPED: ", err)
	}
	return path
}

// valuesFiles are the files of values that the chart ships, by what a test calls them.
func valuesFiles(t testing.TB) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, pattern := range []string{"*.yaml", "*/*.yaml"} {
		paths, err := filepath.Glob(filepath.Join("hyperfleet/values", pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			name := strings.TrimPrefix(strings.TrimSuffix(path, ".yaml"), "hyperfleet/values/")
			all[name] = path
		}
	}
	if len(all) < 4 {
		t.Fatalf("hyperfleet/values has only %v", all)
	}
	return all
}

// everything sets what no file of values does, so that it is rendered too.
var everything = []string{
	"-f", "testdata/everything.yaml",
}

// sets are what every test of rendered objects goes through: the arguments of
// Helm, by name.
func sets(t testing.TB) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for name, path := range valuesFiles(t) {
		all[name] = []string{"-f", path}
		all[name+" with everything"] = append([]string{"-f", path}, everything...)
	}
	all["a region with KEDA on Pub/Sub"] = []string{"-f", "hyperfleet/values/regions/us-east.yaml", "--set", "keda.enabled=true"}
	all["a region with KEDA on RabbitMQ"] = []string{"-f", "hyperfleet/values/regions/eu-west.yaml", "--set", "keda.enabled=true"}
	return all
}

func chart(t testing.TB, helm string, arguments ...string) []*unstructured.Unstructured {
	t.Helper()
	objects, err := render.Chart(t.Context(), tool(t, helm), "hyperfleet", arguments...)
	if err != nil {
		t.Fatal(err)
	}
	return objects
}

// foreign are the groups whose types are not ours: their definitions judge them.
var foreign = []string{"monitoring.coreos.com", "keda.sh"}

// TestEveryObjectDecodesStrictly finds fields that no type has: typing errors
// that the API server would drop.
func TestEveryObjectDecodesStrictly(t *testing.T) {
	t.Parallel()
	types := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(types); err != nil {
			t.Fatal(err)
		}
	}
	decoder := serializer.NewCodecFactory(types, serializer.EnableStrict).UniversalDeserializer()
	for name, arguments := range sets(t) {
		for _, helm := range helms {
			t.Run(name+", "+helm, func(t *testing.T) {
				t.Parallel()
				for _, object := range chart(t, helm, arguments...) {
					if group := object.GroupVersionKind().Group; group == foreign[0] || group == foreign[1] {
						continue
					}
					text, err := json.Marshal(object)
					if err != nil {
						t.Fatal(err)
					}
					if _, _, err := decoder.Decode(text, nil, nil); err != nil {
						t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
					}
				}
			})
		}
	}
}
