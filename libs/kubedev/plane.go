package kubedev

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// auditPolicy records who did what, once per request, without bodies.
const auditPolicy = "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules: [{level: Metadata}]\n"

// plane is a control plane: etcd, API server and controller manager.
type plane struct {
	dir, token string
	etcd       *process
	controller *process
	box        *box       // nil without a node
	node       []*process // in the box
	scheduler  *process   // nil without a node
	api        *APIServer
	config     *rest.Config          // the administrator's
	admin      *kubernetes.Clientset // of config
}

// startPlane starts a control plane, with a node if that is wanted, and returns
// once it is ready.
func startPlane(ctx context.Context, withNode bool) (_ *plane, err error) {
	p := &plane{token: rand.Text()}
	if p.dir, err = makeRoom(); err != nil {
		return nil, err
	}
	p.api = &APIServer{plane: p}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("start Kubernetes: %w", err), p.stop())
		}
	}()
	if withNode {
		if p.box, err = openBox(ctx, p.dir); err != nil {
			return nil, err
		}
	}
	if err := p.write(); err != nil {
		return nil, err
	}
	if err := p.startEtcd(); err != nil {
		return nil, err
	}
	if err := p.api.startAnywhere(ctx); err != nil {
		return nil, err
	}
	if err := writeKubeconfig(p.path("admin.kubeconfig"), p.config, "default"); err != nil {
		return nil, err
	}
	if err := p.startController(); err != nil {
		return nil, err
	}
	if withNode {
		return p, p.startNode(ctx)
	}
	return p, nil
}

// write puts what the servers read into the plane's directory.
func (p *plane) write() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fmt.Errorf("make the key of service accounts: %w", err)
	}
	for name, text := range map[string][]byte{
		"accounts.key": pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)}),
		"tokens.csv":   []byte(p.token + ",admin,admin,system:masters\n"),
		"audit.yaml":   []byte(auditPolicy),
	} {
		if err := os.WriteFile(p.path(name), text, 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

func (p *plane) path(name string) string { return filepath.Join(p.dir, name) }

// run starts a program of the plane.
func (p *plane) run(which program, arguments ...string) (*process, error) {
	path, err := which.path()
	if err != nil {
		return nil, err
	}
	return spawn(p.dir, which.name, tied(), path, arguments...)
}

// startEtcd starts etcd on sockets in the plane's directory, out of everybody
// else's reach. The addresses that it insists on telling others lead nowhere.
// Its clients wait for it by themselves.
func (p *plane) startEtcd() (err error) {
	const nowhere = "http://127.0.0.1:1"
	p.etcd, err = p.run(etcd(), "--data-dir="+p.path("etcd"), "--unsafe-no-fsync", "--log-level=warn",
		"--listen-client-urls="+p.etcdURL(), "--advertise-client-urls="+nowhere,
		"--listen-peer-urls=unix://"+p.path("peer.sock"), "--initial-advertise-peer-urls="+nowhere, "--initial-cluster=default="+nowhere)
	return err
}

func (p *plane) etcdURL() string { return "unix://" + p.path("etcd.sock") }

func (p *plane) startController() (err error) {
	p.controller, err = p.run(release("kube-controller-manager"), "--kubeconfig="+p.path("admin.kubeconfig"),
		"--service-account-private-key-file="+p.path("accounts.key"), "--use-service-account-credentials",
		"--root-ca-file="+p.certificate(), "--leader-elect=false", "--secure-port=0",
		"--kube-api-qps=200", "--kube-api-burst=400")
	return err
}

// certificate is the file with the API server's certificate and its authority's.
func (p *plane) certificate() string { return p.path("certificates/apiserver.crt") }

// stop ends everything and removes it.
func (p *plane) stop() error {
	for _, proc := range []*process{p.scheduler, p.controller, p.api.process, p.etcd} {
		proc.end(syscall.SIGKILL)
	}
	err := p.box.close()
	for _, proc := range p.node {
		<-proc.ended // it ended with the box
	}
	if err := errors.Join(err, os.RemoveAll(p.dir)); err != nil {
		return fmt.Errorf("clean up after Kubernetes: %w", err)
	}
	return nil
}
