package kubedev

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"text/template"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// What the node's programs read, as templates of [nodeValues].
//
//go:embed node
var nodeFiles embed.FS

// Addresses of the cluster. They are the same in every box.
const (
	servicesCIDR = "10.0.0.0/24"
	podsCIDR     = "10.88.0.0/16"
	dnsAddress   = "10.0.0.10"
	nodeName     = "node"
)

// nodeValues are what the templates name.
type nodeValues struct {
	Dir, Address, Cgroup, Plugins                      string
	Services, Pods, DNS, Port, Node, PauseImage, Token string
}

// startNode makes the plane's box a node, and returns once it runs pods whose
// services and names work.
func (p *plane) startNode(ctx context.Context) error {
	if err := p.writeNode(); err != nil {
		return err
	}
	if err := p.startContainerd(ctx); err != nil {
		return err
	}
	for _, one := range []struct {
		program   program
		arguments []string
	}{
		{release("kubelet"), []string{"--config=" + p.path("node/kubelet.yaml"), "--kubeconfig=" + p.path("admin.kubeconfig"),
			"--root-dir=" + p.path("kubelet"), "--hostname-override=" + nodeName, "--node-ip=" + p.box.address()}},
		{release("kube-proxy"), []string{"--config=" + p.path("node/proxy.yaml"), "--hostname-override=" + nodeName}},
		{coredns(), []string{"-conf", p.path("node/Corefile")}},
	} {
		path, err := one.program.path()
		if err != nil {
			return err
		}
		started, err := p.box.run(one.program.name, path, one.arguments...)
		if err != nil {
			return err
		}
		p.node = append(p.node, started)
	}
	scheduler, err := p.run(release("kube-scheduler"), "--kubeconfig="+p.path("admin.kubeconfig"), "--leader-elect=false", "--secure-port=0")
	if err != nil {
		return err
	}
	p.scheduler = scheduler
	if err := p.applyNode(ctx); err != nil {
		return err
	}
	return p.waitNode(ctx)
}

// writeNode writes what the node's programs read.
func (p *plane) writeNode() error {
	plugins, err := findPlugins()
	if err != nil {
		return err
	}
	_, port, err := net.SplitHostPort(p.api.address())
	if err != nil {
		return fmt.Errorf("read the API server's address: %w", err)
	}
	values := nodeValues{
		Dir: p.dir, Address: p.box.address(), Cgroup: p.box.cgroup(), Plugins: plugins, Services: servicesCIDR, Pods: podsCIDR,
		DNS: dnsAddress, Port: port, Node: nodeName, PauseImage: pauseImage, Token: p.token,
	}
	templates, err := template.ParseFS(nodeFiles, "node/*")
	if err != nil {
		return fmt.Errorf("read the node's configuration: %w", err)
	}
	for _, one := range templates.Templates() {
		var text bytes.Buffer
		if err := one.Execute(&text, values); err != nil {
			return fmt.Errorf("write the node's configuration: %w", err)
		}
		path := p.path("node/" + one.Name())
		if one.Name() == "cni.conflist" {
			path = p.path("cni/net.conflist")
		}
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, text.Bytes(), 0o600)); err != nil {
			return fmt.Errorf("write the node's configuration: %w", err)
		}
	}
	return nil
}

// startContainerd starts containerd with the image that every pod needs.
func (p *plane) startContainerd(ctx context.Context) error {
	containerd, err := p.box.run("containerd", "containerd", "--config="+p.path("node/containerd.toml"))
	if err != nil {
		return err
	}
	p.node = append(p.node, containerd)
	pause, err := pauseProgram().path()
	if err != nil {
		return err
	}
	archive := p.path("pause.tar")
	if err := (Image{Name: pauseImage, Program: pause}).write(archive); err != nil {
		return err
	}
	for {
		err := p.loadImages(ctx, archive)
		if err == nil {
			return nil
		}
		if err := p.nodeEnded(); err != nil {
			return err
		}
		if !wait(ctx) {
			return fmt.Errorf("wait for containerd: %w: %w", ctx.Err(), err)
		}
	}
}

// loadImages imports an archive into the node's containerd.
func (p *plane) loadImages(ctx context.Context, archive string) error {
	return command(ctx, "ctr", "--address="+p.path("containerd.sock"), "--namespace=k8s.io", "images", "import", "--snapshotter=native", archive)
}

// applyNode applies the cluster's own objects: the service of its names.
func (p *plane) applyNode(ctx context.Context) error {
	manifest, err := os.ReadFile(p.path("node/dns.yaml"))
	if err != nil {
		return fmt.Errorf("read the node's objects: %w", err)
	}
	objects, err := decode(manifest)
	if err != nil {
		return err
	}
	a, err := p.applier("kube-system")
	if err != nil {
		return err
	}
	for _, object := range objects {
		if err := a.apply(ctx, object); err != nil {
			return fmt.Errorf("apply %s %s: %w", object.GetKind(), object.GetName(), err)
		}
	}
	return nil
}

// waitNode waits until the node, the services' rules and the names are ready.
func (p *plane) waitNode(ctx context.Context) error {
	for {
		err := errors.Join(p.nodeReady(ctx), p.says(ctx, "kube-proxy", "10256/healthz"), p.says(ctx, "coredns", "8181/ready"))
		if err == nil {
			return nil
		}
		if err := p.nodeEnded(); err != nil {
			return err
		}
		if !wait(ctx) {
			return fmt.Errorf("wait for the node: %w: %w", ctx.Err(), err)
		}
	}
}

func (p *plane) nodeReady(ctx context.Context) error {
	node, err := p.admin.CoreV1().Nodes().Get(ctx, nodeName, metav1.GetOptions{})
	if err != nil {
		return err
	}
	for _, condition := range node.Status.Conditions {
		if condition.Type == corev1.NodeReady && condition.Status != corev1.ConditionTrue {
			return fmt.Errorf("the node is not ready: %s", condition.Message)
		}
	}
	if len(node.Spec.Taints) > 0 || len(node.Status.Conditions) == 0 {
		return errors.New("the node takes no pods yet")
	}
	return nil
}

// says asks one of the node's programs how it is.
func (p *plane) says(ctx context.Context, name, portAndPath string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+p.box.address()+":"+portAndPath, nil)
	if err != nil {
		return err
	}
	transport := &http.Transport{DisableKeepAlives: true}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s says %s", name, answer.Status)
	}
	return nil
}

// nodeEnded says which of the node's programs ended by itself, if any.
func (p *plane) nodeEnded() error {
	for _, one := range p.node {
		select {
		case <-one.ended:
			return fmt.Errorf("%s ended before the node was ready; the end of its log:\n%s", one.name, one.said())
		default:
		}
	}
	return nil
}
