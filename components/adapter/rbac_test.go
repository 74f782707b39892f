package adapter_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/yaml"

	"github.com/hyperfleet/hyperfleet/components/adapter/internal/jobspec"
	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
	"github.com/hyperfleet/hyperfleet/libs/fleet"
	"github.com/hyperfleet/hyperfleet/libs/kubedev"
)

// account is the adapter's.
const account = "hyperfleet-adapter"

func manifest(t *testing.T, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile("rbac/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// shut is a namespace with everything that rbac/ has; the adapter's account may
// make Jobs of the given images.
func shut(t *testing.T, images string) *world {
	t.Helper()
	w := beginOn(t, kubedev.Start(t, kubedev.Options{Private: true}), "validation") // its policy is of the whole cluster
	for _, name := range []string{"account.yaml", "role.yaml", "network.yaml", "jobs.yaml", "policy.yaml"} {
		w.Apply(t, manifest(t, name))
	}
	jobs := corev1.ConfigMap{TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "ConfigMap"}, ObjectMeta: metav1.ObjectMeta{Name: "hyperfleet-adapter-jobs"},
		Data: map[string]string{"images": images, "secrets": "cloud-credentials\n", "serviceAccounts": "cloud-user\n"}}
	raw, err := yaml.Marshal(jobs)
	if err != nil {
		t.Fatal(err)
	}
	w.Apply(t, raw)
	w.as = account
	w.governed(t)
	return w
}

// client is the adapter's account.
func (w *world) client(t *testing.T) *kubernetes.Clientset {
	t.Helper()
	c, err := kubernetes.NewForConfig(w.As(t, account))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// governed waits until the policy is in force: the server takes it up some time
// after it is applied.
func (w *world) governed(t *testing.T) {
	t.Helper()
	c := w.client(t)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for bare := (&batchv1.Job{ObjectMeta: metav1.ObjectMeta{GenerateName: "bare-"}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{
		Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "c", Image: "x"}}}}}}); ; {
		_, err := c.BatchV1().Jobs(w.Namespace).Create(ctx, bare, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		if err != nil && strings.Contains(err.Error(), "a Job of an adapter: ") {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatalf("the policy is not in force: %v", err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func TestAnAdapterUsesItsWholeRoleAndNothingElse(t *testing.T) {
	w := shut(t, "validation-job:*")
	release := make(chan struct{})
	w.RunPods(t, func(ctx context.Context, _ *corev1.Pod) kubedev.Outcome {
		select {
		case <-release:
		case <-ctx.Done():
		}
		return kubedev.Outcome{Message: `{"message":"valid"}`}
	})
	w.Apply(t, []byte(operatedConfig))
	w.replica(t)
	w.conditions(t, "Ready")
	id := clusterID(1)
	w.api.create(id)
	w.until(t, id, fleet.Provisioning)
	// Its input loses its owner, as after a crash between the two, and the event comes again.
	name := "validation-adapter-" + strings.ReplaceAll(id, "-", "") + "-g1"
	admin, err := kubernetes.NewForConfig(w.Config())
	if err != nil {
		t.Fatal(err)
	}
	w.Kubectl(t, "wait", "secret/"+name, "--for=create", "--timeout=50s")
	w.Kubectl(t, "patch", "secret", name, "--type=json", `-p=[{"op":"remove","path":"/metadata/ownerReferences"}]`)
	w.publish(t, id)
	w.Kubectl(t, "wait", "secret/"+name, `--for=jsonpath={.metadata.ownerReferences[0].kind}=Job`, "--timeout=50s")
	// A newer generation cancels the Job.
	w.api.change(id)
	w.publish(t, id)
	w.Kubectl(t, "wait", "job/"+name, "--for=delete", "--timeout=50s")
	close(release)
	w.until(t, id, fleet.Ready)
	next := strings.TrimSuffix(name, "1") + "2"
	w.Kubectl(t, "wait", "job/"+next, `--for=jsonpath={.spec.ttlSecondsAfterFinished}=86400`, "--timeout=50s") // released
	w.CheckPermissions(t, account)

	pods, err := admin.CoreV1().Pods(w.Namespace).List(t.Context(), metav1.ListOptions{LabelSelector: batchv1.JobNameLabel + "=" + next})
	if err != nil || len(pods.Items) != 1 {
		t.Fatalf("%d pods, %v", len(pods.Items), err)
	}
	for _, v := range pods.Items[0].Spec.Volumes {
		if v.Projected != nil || v.Secret != nil && v.Secret.SecretName != next {
			t.Errorf("the job's pod has volume %+v", v)
		}
	}
	network, err := admin.NetworkingV1().NetworkPolicies(w.Namespace).Get(t.Context(), "hyperfleet-adapter-jobs", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	selector, err := metav1.LabelSelectorAsSelector(&network.Spec.PodSelector)
	if err != nil || !selector.Matches(labels.Set(pods.Items[0].Labels)) {
		t.Errorf("the network policy selects %s, not a job's pod with %v; %v", selector, pods.Items[0].Labels, err)
	}
}

func TestWithoutOneOfItsRightsAnAdapterGetsNothingDone(t *testing.T) {
	for _, gone := range []kubedev.Permission{
		{Verb: "watch", Group: "hyperfleet.redhat.com", Resource: "adapterconfigs"}, {Verb: "create", Group: "batch", Resource: "jobs"}, {Verb: "list", Resource: "pods"},
	} {
		t.Run(gone.String(), func(t *testing.T) {
			t.Parallel()
			w := shut(t, "validation-job:*")
			text, _, _ := strings.Cut(string(manifest(t, "role.yaml")), "---\n")
			var role rbacv1.Role
			if err := yaml.Unmarshal([]byte(text), &role); err != nil {
				t.Fatal(err)
			}
			for i, rule := range role.Rules {
				if slices.Contains(rule.Resources, gone.Resource) {
					role.Rules[i].Verbs = slices.DeleteFunc(rule.Verbs, func(v string) bool { return v == gone.Verb })
				}
			}
			role.Rules = slices.DeleteFunc(role.Rules, func(r rbacv1.PolicyRule) bool { return len(r.Verbs) == 0 })
			raw, err := yaml.Marshal(role)
			if err != nil {
				t.Fatal(err)
			}
			w.RunPods(t, func(context.Context, *corev1.Pod) kubedev.Outcome {
				return kubedev.Outcome{Message: `{"message":"valid"}`}
			})
			w.Apply(t, raw, []byte(operatedConfig))
			w.replica(t)
			id := clusterID(1)
			w.api.create(id)
			if gone.Resource != "adapterconfigs" {
				w.conditions(t, "Ready")
				w.publish(t, id)
			}
			for deadline := time.Now().Add(time.Minute); !slices.Contains(w.Used(t, account), gone); {
				if time.Now().After(deadline) {
					t.Fatal("it is not asked for")
				}
				w.api.changed(t.Context(), 100*time.Millisecond)
			}
			if r, err := w.api.Get(t.Context(), fleet.Clusters, id); err != nil || r.Status.Phase == fleet.Ready {
				t.Errorf("the cluster is %s all the same, %v", r.Status.Phase, err)
			}
		})
	}
}

// own is a Job as an adapter makes it.
func own(t *testing.T, namespace string) *batchv1.Job {
	t.Helper()
	cfg := v1alpha1.AdapterConfig{ObjectMeta: metav1.ObjectMeta{Name: "dns-adapter", Namespace: namespace}, Spec: v1alpha1.AdapterConfigSpec{
		AdapterType: "dns", HyperfleetAPI: &v1alpha1.HyperfleetAPI{URL: "http://hyperfleet-api:8080"},
		JobTemplate: v1alpha1.JobTemplate{Image: "dns-job:v1", Secrets: []string{"cloud-credentials"}},
	}}
	j, err := jobspec.New(cfg.Defaults(), jobspec.Subject{Type: fleet.Clusters, Resource: fleet.Resource{ID: clusterID(1), Generation: 1}},
		jobspec.Attempt{Number: 1, Mode: jobspec.ModeCreate})
	if err != nil {
		t.Fatal(err)
	}
	job, _, err := jobspec.Manifests(j)
	if err != nil {
		t.Fatal(err)
	}
	return job
}

func TestThePolicyAdmitsTheAdaptersOwnJobsAndRefusesCrookedOnes(t *testing.T) {
	w := shut(t, "dns-job:*\nexact-job:v1\n")
	jobs := w.client(t).BatchV1().Jobs(w.Namespace)
	dry := metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}}
	type change func(*batchv1.JobSpec, *corev1.PodSpec, *corev1.Container)
	for _, c := range []struct {
		name string
		make change
		why  string // "" = admitted
	}{
		{"its own", func(*batchv1.JobSpec, *corev1.PodSpec, *corev1.Container) {}, ""},
		{"its own with an image that is named", func(_ *batchv1.JobSpec, _ *corev1.PodSpec, c *corev1.Container) { c.Image = "exact-job:v1" }, ""},
		{"its own with an account that is named", func(_ *batchv1.JobSpec, p *corev1.PodSpec, _ *corev1.Container) {
			p.ServiceAccountName, p.AutomountServiceAccountToken = "cloud-user", new(true)
		}, ""},
		{"another image", func(_ *batchv1.JobSpec, _ *corev1.PodSpec, c *corev1.Container) { c.Image = "miner:v1" }, "image miner:v1 is not in images"},
		{"an image that begins like one that is named", func(_ *batchv1.JobSpec, _ *corev1.PodSpec, c *corev1.Container) { c.Image = "exact-job:v11" }, "image exact-job:v11 is not in images"},
		{"the adapter's account", func(_ *batchv1.JobSpec, p *corev1.PodSpec, _ *corev1.Container) { p.ServiceAccountName = account }, "service account hyperfleet-adapter is not in serviceAccounts"},
		{"a token", func(_ *batchv1.JobSpec, p *corev1.PodSpec, _ *corev1.Container) {
			p.AutomountServiceAccountToken = new(true)
		}, "automountServiceAccountToken must be false"},
		{"a host path", func(_ *batchv1.JobSpec, p *corev1.PodSpec, _ *corev1.Container) {
			p.Volumes = append(p.Volumes, corev1.Volume{Name: "host", VolumeSource: corev1.VolumeSource{HostPath: &corev1.HostPathVolumeSource{Path: "/"}}})
		}, "no host path"},
		{"a projected token", func(_ *batchv1.JobSpec, p *corev1.PodSpec, _ *corev1.Container) {
			p.Volumes = append(p.Volumes, corev1.Volume{Name: "token", VolumeSource: corev1.VolumeSource{Projected: &corev1.ProjectedVolumeSource{
				Sources: []corev1.VolumeProjection{{ServiceAccountToken: &corev1.ServiceAccountTokenProjection{Path: "token"}}}}}})
		}, "no projected token"},
		{"the adapter's credentials in a volume", func(_ *batchv1.JobSpec, p *corev1.PodSpec, _ *corev1.Container) {
			p.Volumes[0].Secret.SecretName = "adapter-token"
		}, "Secret adapter-token is neither its input nor in secrets"},
		{"the adapter's credentials in its environment", func(_ *batchv1.JobSpec, _ *corev1.PodSpec, c *corev1.Container) {
			c.Env = append(c.Env, corev1.EnvVar{Name: "TOKEN", ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{
				LocalObjectReference: corev1.LocalObjectReference{Name: "adapter-token"}, Key: "token"}}})
		}, "no valueFrom"},
		{"the node's network", func(_ *batchv1.JobSpec, p *corev1.PodSpec, _ *corev1.Container) { p.HostNetwork = true }, "must not use the node's network"},
		{"the node's processes", func(_ *batchv1.JobSpec, p *corev1.PodSpec, _ *corev1.Container) { p.HostPID = true }, "must not use the node's network"},
		{"the node's IPC", func(_ *batchv1.JobSpec, p *corev1.PodSpec, _ *corev1.Container) { p.HostIPC = true }, "must not use the node's network"},
		{"privileged", func(_ *batchv1.JobSpec, _ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext.Privileged, c.SecurityContext.AllowPrivilegeEscalation = new(true), nil
		}, "neither privileged nor able"},
		{"a capability", func(_ *batchv1.JobSpec, _ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext.Capabilities.Add = []corev1.Capability{"NET_ADMIN"}
		}, "must drop all capabilities"},
		{"root", func(_ *batchv1.JobSpec, p *corev1.PodSpec, _ *corev1.Container) { p.SecurityContext.RunAsNonRoot = nil }, "must run as non-root"},
		{"no seccomp", func(_ *batchv1.JobSpec, p *corev1.PodSpec, _ *corev1.Container) {
			p.SecurityContext.SeccompProfile.Type = corev1.SeccompProfileTypeUnconfined
		}, "seccomp profile RuntimeDefault"},
		{"no seccomp in the container", func(_ *batchv1.JobSpec, _ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext.SeccompProfile = &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeUnconfined}
		}, "seccomp profile RuntimeDefault"},
		{"a root file system that it can write", func(_ *batchv1.JobSpec, _ *corev1.PodSpec, c *corev1.Container) {
			c.SecurityContext.ReadOnlyRootFilesystem = nil
		}, "read-only root file system"},
		{"another container", func(_ *batchv1.JobSpec, p *corev1.PodSpec, c *corev1.Container) {
			more := *c.DeepCopy()
			more.Name = "more"
			p.InitContainers = append(p.InitContainers, more)
		}, "one container and no other"},
		{"a node of its choice", func(_ *batchv1.JobSpec, p *corev1.PodSpec, _ *corev1.Container) { p.NodeName = "control-plane" }, "must leave node"},
		{"SELinux of its own", func(_ *batchv1.JobSpec, p *corev1.PodSpec, _ *corev1.Container) {
			p.SecurityContext.SELinuxOptions = &corev1.SELinuxOptions{Type: "spc_t"}
		}, "must leave SELinux"},
		{"a thousand pods", func(s *batchv1.JobSpec, _ *corev1.PodSpec, _ *corev1.Container) {
			s.Parallelism, s.Completions = new(int32(1000)), new(int32(1000))
		}, "must run one pod"},
	} {
		job := own(t, w.Namespace)
		c.make(&job.Spec, &job.Spec.Template.Spec, &job.Spec.Template.Spec.Containers[0])
		_, err := jobs.Create(t.Context(), job, dry)
		switch {
		case c.why == "" && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.why != "" && (err == nil || !strings.Contains(err.Error(), c.why)):
			t.Errorf("%s: %v, want %q", c.name, err, c.why)
		}
	}

	bare := own(t, w.Namespace)
	bare.Annotations = nil
	if _, err := jobs.Create(t.Context(), bare, dry); err == nil || !strings.Contains(err.Error(), "must have the labels") {
		t.Errorf("a job without identity: %v", err)
	}
	w.Kubectl(t, "delete", "configmap", "hyperfleet-adapter-jobs")
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(100 * time.Millisecond) {
		_, err := jobs.Create(t.Context(), own(t, w.Namespace), dry)
		if err != nil {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("without the list a job is admitted")
		}
	}
}
