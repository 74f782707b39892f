package jobspec

import (
	"encoding/json"
	"fmt"
	"strconv"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hyperfleet/hyperfleet/libs/apis/v1alpha1"
)

// Names in the objects of a Job.
const (
	LabelAdapter       = "adapter"
	LabelClusterID     = "cluster-id"
	AnnotationIdentity = "hyperfleet.redhat.com/identity"     // JSON of [Identity]
	AnnotationBase     = "hyperfleet.redhat.com/attempt-base" // number
	AnnotationTTL      = "hyperfleet.redhat.com/ttl-seconds"  // number: ttlSecondsAfterFinished once the end is stored
	Finalizer          = "hyperfleet.redhat.com/report"       // until the Job's end is stored

	InputDir   = "/var/run/hyperfleet/input"
	OutputDir  = "/var/run/hyperfleet/output"  // empty, the pod's own: artefacts end with it, data goes on
	SecretsDir = "/var/run/hyperfleet/secrets" //nolint:gosec // the path of a mount: one directory per secret
)

// Manifests returns the Kubernetes Job that runs j and the Secret that holds
// its input. The Secret's owner reference needs the Job's UID and is set by who
// creates them. The Job has no ttlSecondsAfterFinished before its end is stored:
// Kubernetes would remove the pods, and with them what they said.
func Manifests(j Job) (*batchv1.Job, *corev1.Secret, error) {
	identity, err := json.Marshal(j.Identity)
	if err != nil {
		return nil, nil, fmt.Errorf("encode identity of %s: %w", j.Name, err)
	}
	labels := map[string]string{LabelAdapter: j.Identity.Adapter, LabelClusterID: j.ClusterID}
	meta := metav1.ObjectMeta{Name: j.Name, Namespace: j.Namespace, Labels: labels, Annotations: map[string]string{
		AnnotationIdentity: string(identity),
		AnnotationBase:     strconv.Itoa(j.AttemptBase),
	}}
	secret := &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: *meta.DeepCopy(),
		Type:       corev1.SecretTypeOpaque,
		Immutable:  new(true),
		Data:       j.Input,
	}
	t := j.Template
	job := &batchv1.Job{
		TypeMeta:   metav1.TypeMeta{APIVersion: "batch/v1", Kind: "Job"},
		ObjectMeta: meta,
		Spec: batchv1.JobSpec{
			BackoffLimit:          t.BackoffLimit,
			ActiveDeadlineSeconds: t.ActiveDeadlineSeconds,
			// Never a second pod before the first is gone for good.
			PodReplacementPolicy: new(batchv1.Failed),
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       pod(t, j),
			},
		},
	}
	job.Finalizers = []string{Finalizer}
	job.Annotations[AnnotationTTL] = strconv.FormatInt(int64(j.TTL.Seconds()), 10)
	return job, secret, nil
}

func pod(t v1alpha1.JobTemplate, j Job) corev1.PodSpec {
	volumes, mounts := inputs(t, j)
	return corev1.PodSpec{
		RestartPolicy:                corev1.RestartPolicyNever,
		ServiceAccountName:           t.ServiceAccountName,
		AutomountServiceAccountToken: new(t.ServiceAccountName != ""),
		EnableServiceLinks:           new(false),
		SecurityContext: &corev1.PodSecurityContext{
			RunAsNonRoot:   new(true),
			SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault},
		},
		Volumes: volumes,
		Containers: []corev1.Container{{
			Name:      shorten(j.Identity.Adapter, maxName-len("-job")) + "-job",
			Image:     t.Image,
			Command:   t.Command,
			Args:      t.Args,
			Env:       environment(t, j),
			Resources: t.Resources,
			SecurityContext: &corev1.SecurityContext{
				AllowPrivilegeEscalation: new(false),
				ReadOnlyRootFilesystem:   new(true),
				Capabilities:             &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
			},
			VolumeMounts: mounts,
			// A Job that dies before it wrote its message is explained by the end of its log.
			TerminationMessagePath:   corev1.TerminationMessagePathDefault,
			TerminationMessagePolicy: corev1.TerminationMessageFallbackToLogsOnError,
		}},
	}
}

func environment(t v1alpha1.JobTemplate, j Job) []corev1.EnvVar {
	i := j.Identity
	return append([]corev1.EnvVar{
		{Name: "CLUSTER_ID", Value: j.ClusterID},
		{Name: "RESOURCE_TYPE", Value: string(i.ResourceType)},
		{Name: "RESOURCE_ID", Value: i.ResourceID},
		{Name: "HYPERFLEET_API", Value: j.API},
		{Name: "GENERATION", Value: strconv.FormatInt(i.Generation, 10)},
		{Name: "ATTEMPT", Value: strconv.Itoa(i.Attempt)},
		{Name: "ADAPTER", Value: i.Adapter},
		{Name: "MODE", Value: i.Mode},
	}, t.Env...)
}

func inputs(t v1alpha1.JobTemplate, j Job) ([]corev1.Volume, []corev1.VolumeMount) {
	volumes := []corev1.Volume{secretVolume("input", j.Name), {
		Name: "output", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}},
	}}
	mounts := []corev1.VolumeMount{{Name: "input", MountPath: InputDir, ReadOnly: true}, {Name: "output", MountPath: OutputDir}}
	for n, name := range t.Secrets {
		volume := fmt.Sprintf("secret-%d", n)
		volumes = append(volumes, secretVolume(volume, name))
		mounts = append(mounts, corev1.VolumeMount{Name: volume, MountPath: SecretsDir + "/" + name, ReadOnly: true})
	}
	return volumes, mounts
}

func secretVolume(volume, secret string) corev1.Volume {
	return corev1.Volume{Name: volume, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: secret}}}
}
