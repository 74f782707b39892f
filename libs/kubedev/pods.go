package kubedev

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"testing"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// Outcome is how the containers of a pod end.
type Outcome struct {
	// ExitCode is 0 for success.
	ExitCode int32
	// Message is the termination message of the first container.
	Message string
}

// RunPods stands in for a node until the test ends: every pod of the test's
// namespace is Running until run returns, and then Succeeded or Failed. run is
// called once per pod, each on a goroutine of its own, and may wait; its context
// ends when the pod is deleted or the test ends, and what it returns after that
// is ignored. Nothing is scheduled and no image is looked at.
func (c *Cluster) RunPods(t testing.TB, run func(context.Context, *corev1.Pod) Outcome) {
	t.Helper()
	if c.plane.box != nil {
		t.Fatal("this cluster has a node, which runs the pods")
	}
	ctx, cancel := context.WithCancel(context.Background())
	n := &node{pods: c.plane.admin.CoreV1().Pods(c.Namespace), run: run, running: map[types.UID]context.CancelFunc{}}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		n.serve(ctx)
	}()
	t.Cleanup(func() { cancel(); <-ended })
}

// node moves the pods of a namespace through their life.
type node struct {
	pods    typedv1.PodInterface
	run     func(context.Context, *corev1.Pod) Outcome
	running map[types.UID]context.CancelFunc // pods that were taken up
	wg      sync.WaitGroup
}

// serve looks after pods until ctx ends, across outages of the API server.
func (n *node) serve(ctx context.Context) {
	defer n.wg.Wait()
	for ctx.Err() == nil {
		if n.watch(ctx) != nil {
			wait(ctx) // the server is away
		}
	}
}

// watch takes up every pod that is there or appears, until the watch ends.
func (n *node) watch(ctx context.Context) error {
	list, err := n.pods.List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	there := map[types.UID]bool{}
	for i := range list.Items {
		there[list.Items[i].UID] = true
		n.take(ctx, &list.Items[i])
	}
	for uid := range n.running {
		if !there[uid] {
			n.drop(uid)
		}
	}
	watch, err := n.pods.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion})
	if err != nil {
		return err
	}
	defer watch.Stop()
	for event := range watch.ResultChan() {
		pod, ok := event.Object.(*corev1.Pod)
		if !ok {
			return errors.New("the watch is too old")
		}
		if event.Type == "DELETED" {
			n.drop(pod.UID)
			continue
		}
		n.take(ctx, pod)
	}
	return nil
}

// drop forgets a pod that is gone.
func (n *node) drop(uid types.UID) {
	if cancel := n.running[uid]; cancel != nil {
		cancel()
		delete(n.running, uid)
	}
}

// take starts a pod, unless that was done or it has ended.
func (n *node) take(ctx context.Context, pod *corev1.Pod) {
	if n.running[pod.UID] != nil || pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed {
		return
	}
	ctx, n.running[pod.UID] = context.WithCancel(ctx) // drop or the end of serve cancels it
	n.wg.Go(func() { n.live(ctx, pod.DeepCopy()) })
}

// live runs one pod. Errors mean that the pod or the test is gone.
func (n *node) live(ctx context.Context, pod *corev1.Pod) {
	began := metav1.Now()
	running := corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: began}}
	if n.report(ctx, pod, podStatus(pod, corev1.PodRunning, running, "")) != nil {
		return
	}
	outcome := n.run(ctx, pod)
	phase, reason := corev1.PodSucceeded, "Completed"
	if outcome.ExitCode != 0 {
		phase, reason = corev1.PodFailed, "Error"
	}
	ended := corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		ExitCode: outcome.ExitCode, Reason: reason, StartedAt: began, FinishedAt: metav1.Now(),
	}}
	_ = n.report(ctx, pod, podStatus(pod, phase, ended, outcome.Message)) // see above
}

// report writes a pod's status, again and again while the server is away.
func (n *node) report(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus) error {
	patch, err := json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
	if err != nil {
		return fmt.Errorf("write a pod's status: %w", err)
	}
	for {
		_, err := n.pods.Patch(ctx, pod.Name, types.MergePatchType, patch, metav1.PatchOptions{}, "status")
		gone := apierrors.IsNotFound(err) || apierrors.IsConflict(err) // or another one has its name
		if err == nil || gone || !wait(ctx) {
			return err
		}
	}
}

// podStatus is the status of a pod whose containers are all in one state.
func podStatus(pod *corev1.Pod, phase corev1.PodPhase, state corev1.ContainerState, message string) corev1.PodStatus {
	runs := phase == corev1.PodRunning
	ready := corev1.ConditionFalse
	if runs {
		ready = corev1.ConditionTrue
	}
	status := corev1.PodStatus{Phase: phase, StartTime: &pod.CreationTimestamp}
	for _, condition := range []corev1.PodConditionType{corev1.PodReady, corev1.ContainersReady} {
		status.Conditions = append(status.Conditions, corev1.PodCondition{Type: condition, Status: ready})
	}
	for i, container := range pod.Spec.Containers {
		own := *state.DeepCopy()
		if own.Terminated != nil && i == 0 {
			own.Terminated.Message = message
		}
		status.ContainerStatuses = append(status.ContainerStatuses, corev1.ContainerStatus{
			Name: container.Name, Image: container.Image, Ready: runs, Started: &runs, State: own,
		})
	}
	return status
}
