package kubedev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// pollEvery is how often something is asked that announces nothing.
const pollEvery = 50 * time.Millisecond

// APIServer is the API server of a cluster, to be taken away from those who
// depend on it and given back. Its methods are for one goroutine.
type APIServer struct {
	plane   *plane
	port    int
	process *process
}

// Stop ends the server with SIGTERM, as an upgrade does: it drains for 2 s.
func (a *APIServer) Stop() { a.process.end(syscall.SIGTERM) }

// Kill ends the server with SIGKILL, as a crash does.
func (a *APIServer) Kill() { a.process.end(syscall.SIGKILL) }

// Pause makes the server answer nobody (SIGSTOP) until Resume: connections
// stay open and hang.
func (a *APIServer) Pause() error { return a.process.cmd.Process.Signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (a *APIServer) Resume() error { return a.process.cmd.Process.Signal(syscall.SIGCONT) }

// Start starts the server again after Stop or Kill, at the same address and with
// all that it stored, and returns once it is ready.
func (a *APIServer) Start(ctx context.Context) error {
	for {
		err := a.start(ctx)
		if !errors.Is(err, syscall.EADDRINUSE) { // somebody has its port for a moment
			return err
		}
		if !wait(ctx) {
			return err
		}
	}
}

// startAnywhere starts the server for the first time, on a port that is free.
func (a *APIServer) startAnywhere(ctx context.Context) (err error) {
	for range 10 {
		if a.port, err = freePort(ctx); err != nil {
			return err
		}
		a.plane.admin = nil // one that an earlier try made asks at the port that another server took
		if err = a.start(ctx); !errors.Is(err, syscall.EADDRINUSE) {
			return err
		}
	}
	return err
}

// host is the address that the server listens on: where pods reach it, if there are any.
func (a *APIServer) host() string {
	if a.plane.box != nil {
		return a.plane.box.address()
	}
	return "127.0.0.1"
}

func (a *APIServer) address() string { return net.JoinHostPort(a.host(), strconv.Itoa(a.port)) }

// start starts the server and waits until it is ready.
func (a *APIServer) start(ctx context.Context) (err error) {
	p := a.plane
	program := release("kube-apiserver")
	path, err := program.path()
	if err != nil {
		return err
	}
	arguments := []string{"--etcd-servers=" + p.etcdURL(),
		"--bind-address=" + a.host(), "--secure-port=" + strconv.Itoa(a.port), "--cert-dir=" + p.path("certificates"),
		"--service-account-key-file=" + p.path("accounts.key"), "--service-account-signing-key-file=" + p.path("accounts.key"),
		"--service-account-issuer=https://kubernetes.default.svc", "--token-auth-file=" + p.path("tokens.csv"),
		"--authorization-mode=RBAC", "--service-cluster-ip-range=" + servicesCIDR, "--allow-privileged=true",
		"--audit-policy-file=" + p.path("audit.yaml"), "--audit-log-path=" + p.path("audit.log"),
		"--kubelet-preferred-address-types=InternalIP", "--profiling=false", "--shutdown-send-retry-after",
	}
	if p.box == nil {
		a.process, err = spawn(p.dir, program.name, tied(), path, append(arguments, "--endpoint-reconciler-type=none")...)
	} else {
		a.process, err = p.box.runConnected(program.name, path, arguments...)
	}
	if err != nil {
		return err
	}
	for {
		err := a.ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-a.process.ended:
			said := a.process.said()
			if strings.Contains(said, "address already in use") {
				return fmt.Errorf("kube-apiserver ended before it was ready: %w", syscall.EADDRINUSE)
			}
			return fmt.Errorf("kube-apiserver ended before it was ready; the end of its log:\n%s", said)
		default:
		}
		if !wait(ctx) {
			return fmt.Errorf("wait for kube-apiserver: %w: %w; the end of its log:\n%s", ctx.Err(), err, a.process.said())
		}
	}
}

// ready returns nil once the server says that it is.
func (a *APIServer) ready(ctx context.Context) error {
	if a.plane.admin == nil {
		if err := a.connect(); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	return a.plane.admin.Discovery().RESTClient().Get().AbsPath("/readyz").Do(ctx).Error()
}

// connect makes the administrator's client, once the server wrote its certificate.
func (a *APIServer) connect() error {
	authority, err := os.ReadFile(a.plane.certificate())
	if err != nil {
		return fmt.Errorf("read the server's certificate: %w", err)
	}
	config := &rest.Config{
		Host:            "https://" + a.address(),
		BearerToken:     a.plane.token,
		TLSClientConfig: rest.TLSClientConfig{CAData: authority},
		QPS:             -1, // tests wait for nothing but the server
	}
	admin, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("make the administrator's client: %w", err)
	}
	a.plane.config, a.plane.admin = config, admin
	return nil
}

// wait lets a moment pass; false means that ctx ended first.
func wait(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(pollEvery):
		return true
	}
}

func freePort(ctx context.Context) (int, error) {
	l, err := new(net.ListenConfig).Listen(ctx, "tcp4", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}
