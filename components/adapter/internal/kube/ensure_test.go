package kube_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	resourceapi "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/components/adapter/internal/kube"
)

// checkInput checks that the Job's input is there, and owned by it.
func (w *world) checkInput(t *testing.T, j jobspec.Job) {
	t.Helper()
	job := w.until(t, j.Name, func(j *batchv1.Job) bool { return j != nil })
	secret, err := w.client.CoreV1().Secrets(w.Namespace).Get(t.Context(), j.Name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !metav1.IsControlledBy(secret, job) {
		t.Errorf("the input is owned by %v", secret.OwnerReferences)
	}
	if !json.Valid(secret.Data["cluster.json"]) || !json.Valid(secret.Data["dependencies.json"]) {
		t.Errorf("the input holds %q", secret.Data)
	}
}

func TestEveryHandlingEnsuresJobInputAndOwner(t *testing.T) {
	t.Parallel()
	w := begin(t)
	r := kube.New(w.client, w.Namespace, nil, nil)
	j := w.job(t, 1, first())
	ensure(t, r, j)
	w.checkInput(t, j)
	changed := j
	changed.Template.Image = "dns-job:v2" // the Job was made from what was the template then
	if ensure(t, r, changed) {
		t.Error("a job was made again")
	}
	secrets := w.client.CoreV1().Secrets(w.Namespace)
	if err := secrets.Delete(t.Context(), j.Name, metav1.DeleteOptions{}); err != nil {
		t.Fatal(err)
	}
	ensure(t, r, j)
	w.checkInput(t, j)
	w.Kubectl(t, "patch", "secret", j.Name, "--type=merge", "-p", `{"metadata":{"ownerReferences":null}}`)
	ensure(t, r, j)
	w.checkInput(t, j)
	w.Kubectl(t, "patch", "job", j.Name, "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)
	ensure(t, r, j)
	w.until(t, j.Name, func(j *batchv1.Job) bool {
		return slices.Contains(j.Finalizers, jobspec.Finalizer) && j.Spec.Template.Spec.Containers[0].Image == "dns-job"
	})
}

func TestWhyAJobIsNotMadeIsToldApart(t *testing.T) {
	t.Parallel()
	w := begin(t)
	elsewhere := kube.New(w.client, w.Namespace+"-that-is-not", nil, nil)
	j := w.job(t, 1, first())
	other := j
	other.Namespace += "-that-is-not"
	if _, err := elsewhere.Ensure(t.Context(), other); !errors.Is(err, jobspec.ErrNamespace) {
		t.Errorf("without a namespace: %v", err)
	}
	if _, err := kube.New(clientOf(t, w.As(t, "nobody")), w.Namespace, nil, nil).Ensure(t.Context(), j); !errors.Is(err, jobspec.ErrForbidden) {
		t.Errorf("without a grant: %v", err)
	}
	r := kube.New(w.client, w.Namespace, nil, nil)
	bad := j
	bad.Template.Resources.Requests = corev1.ResourceList{"no such resource": *resourceapi.NewQuantity(1, resourceapi.DecimalSI)}
	if _, err := r.Ensure(t.Context(), bad); !errors.Is(err, jobspec.ErrInvalid) {
		t.Errorf("of a template that cannot be: %v", err)
	}
	w.Kubectl(t, "create", "quota", "no-more", "--hard=count/jobs.batch=0")
	w.Kubectl(t, "wait", "quota", "no-more", "--for=jsonpath={.status.hard}")
	if _, err := r.Ensure(t.Context(), j); !errors.Is(err, jobspec.ErrQuota) || !strings.Contains(err.Error(), "no-more") {
		t.Errorf("beyond the quota: %v", err)
	}
	w.Kubectl(t, "delete", "quota", "no-more")
}

func TestAStrangersJobAndInputAreLeftAlone(t *testing.T) {
	t.Parallel()
	w := begin(t)
	r := kube.New(w.client, w.Namespace, nil, nil)
	for n, tc := range []struct {
		name   string
		change func(*batchv1.Job)
	}{
		{"the identity of another name", func(j *batchv1.Job) {
			j.Annotations[jobspec.AnnotationIdentity] = strings.Replace(j.Annotations[jobspec.AnnotationIdentity], `"attempt":1`, `"attempt":2`, 1)
		}},
		{"no identity", func(j *batchv1.Job) { j.Annotations = nil }},
		{"another adapter's label", func(j *batchv1.Job) { j.Labels[jobspec.LabelAdapter] = "placement" }},
	} {
		j := w.job(t, int64(n+1), first())
		made, _, err := jobspec.Manifests(j)
		if err != nil {
			t.Fatal(err)
		}
		tc.change(made)
		was, err := w.client.BatchV1().Jobs(w.Namespace).Create(t.Context(), made, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Ensure(t.Context(), j); !errors.Is(err, jobspec.ErrForeign) {
			t.Errorf("%s: %v", tc.name, err)
		}
		w.until(t, j.Name, func(now *batchv1.Job) bool { return now.UID == was.UID && now.DeletionTimestamp == nil })
	}
	check := jobspec.Attempt{Number: 1, Mode: jobspec.ModeCheck, Check: 1767323045}
	ensure(t, r, w.job(t, 8, check))
	check.Number = 2 // has the same name
	if _, err := r.Ensure(t.Context(), w.job(t, 8, check)); !errors.Is(err, jobspec.ErrForeign) {
		t.Errorf("another job of ours of the same name: %v", err)
	}
	j := w.job(t, 9, first())
	w.Kubectl(t, "create", "secret", "generic", j.Name, "--from-literal=a=b")
	if _, err := r.Ensure(t.Context(), j); !errors.Is(err, jobspec.ErrForeign) {
		t.Errorf("a stranger's input: %v", err)
	}
}

func TestOneThatIsBeingDeletedIsWaitedFor(t *testing.T) {
	t.Parallel()
	w := begin(t)
	r := kube.New(w.client, w.Namespace, nil, nil)
	j := w.job(t, 1, first())
	ensure(t, r, j)
	w.Kubectl(t, "delete", "job", j.Name, "--wait=false")
	if _, err := r.Ensure(t.Context(), j); !errors.Is(err, jobspec.ErrLeaving) {
		t.Errorf("Ensure says %v", err)
	}
	w.replica(t, "one")
	w.until(t, j.Name, gone)
	if !ensure(t, r, j) {
		t.Error("the job was there still")
	}
}

// roundTrip answers requests.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func TestAKubernetesThatThrottlesOrIsAwayIsToldFromOneThatRefuses(t *testing.T) {
	t.Parallel()
	w := begin(t)
	for name, tc := range map[string]struct {
		answer func(*http.Request) (*http.Response, error)
		why    error // nil: away
	}{
		"it throttles": {func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusTooManyRequests, Body: http.NoBody, Request: r}, nil
		}, jobspec.ErrThrottled},
		"it is away": {func(*http.Request) (*http.Response, error) { return nil, errors.New("connection refused") }, nil},
		"it is broken": {func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusInternalServerError, Body: http.NoBody, Request: r}, nil
		}, nil},
		"it does not know this replica just now": {func(r *http.Request) (*http.Response, error) {
			return &http.Response{StatusCode: http.StatusUnauthorized, Body: http.NoBody, Request: r}, nil
		}, nil},
	} {
		cfg := w.Config()
		cfg.Wrap(func(http.RoundTripper) http.RoundTripper { return roundTrip(tc.answer) })
		_, err := kube.New(clientOf(t, cfg), w.Namespace, nil, nil).Ensure(t.Context(), w.job(t, 1, first()))
		refused := false
		for _, why := range []error{jobspec.ErrForeign, jobspec.ErrLeaving, jobspec.ErrInvalid, jobspec.ErrForbidden, jobspec.ErrQuota, jobspec.ErrNamespace, jobspec.ErrThrottled} {
			refused = refused || errors.Is(err, why) && !errors.Is(tc.why, why)
		}
		if err == nil || refused || tc.why != nil && !errors.Is(err, tc.why) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
