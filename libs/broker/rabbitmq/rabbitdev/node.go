package rabbitdev

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

// startTimeout is how long a node may take to start; 6 s are usual on one core.
const startTimeout = 90 * time.Second

// ErrNotInstalled says that the machine has no RabbitMQ.
var ErrNotInstalled = errors.New("RabbitMQ is not installed (Debian: apt-get install rabbitmq-server)")

// Options shape a node.
type Options struct {
	// FeatureFlags that a new node enables; nil = all that it has.
	FeatureFlags []string
}

// Node is one private RabbitMQ. Its methods are not for concurrent use.
type Node struct {
	sbin, dir   string
	amqp, amqps int
	environment []string
	mapper      *process // the port mapper, epmd
	server      *process // nil while stopped
	listening   time.Time
}

// New makes a node and starts it.
func New(o Options) (_ *Node, err error) {
	n := &Node{}
	if n.sbin, err = find(); err != nil {
		return nil, err
	}
	sweep()
	if n.dir, err = os.MkdirTemp("", fmt.Sprintf("%s%d-", prefix, os.Getpid())); err != nil {
		return nil, fmt.Errorf("make the node's directory: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, n.Close())
		}
	}()
	ports, err := freePorts(4)
	if err != nil {
		return nil, err
	}
	n.amqp, n.amqps = ports[0], ports[1]
	if err := n.configure(o, ports[2], ports[3]); err != nil {
		return nil, err
	}
	if n.mapper, err = start("epmd", n.environment, filepath.Join(n.dir, "epmd.log"), "-port", strconv.Itoa(ports[3])); err != nil {
		return nil, fmt.Errorf("start the port mapper: %w", err)
	}
	return n, n.Start()
}

// configure writes what the node reads.
func (n *Node) configure(o Options, dist, mapper int) error {
	if err := n.writeCertificates(); err != nil {
		return err
	}
	config := fmt.Sprintf(`listeners.tcp.1 = 127.0.0.1:%d
listeners.ssl.1 = 127.0.0.1:%d
ssl_options.cacertfile = %[3]s/ca.pem
ssl_options.certfile = %[3]s/server.pem
ssl_options.keyfile = %[3]s/server.key
ssl_options.verify = verify_peer
ssl_options.fail_if_no_peer_cert = true
disk_free_limit.absolute = 1MB
vm_memory_high_watermark.absolute = 2GB
log.console = false
`, n.amqp, n.amqps, n.dir)
	// How soon the broker tries again to hand on what a queue refused: 3 min by default.
	advanced := "[{rabbit, [{dead_letter_worker_publisher_confirm_timeout, 500}]}].\n"
	for name, text := range map[string]string{"rabbitmq.conf": config, "advanced.config": advanced, "enabled_plugins": "[].\n"} {
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o600); err != nil {
			return fmt.Errorf("write the node's configuration: %w", err)
		}
	}
	n.environment = []string{
		"PATH=" + os.Getenv("PATH"), "LANG=C.UTF-8", "HOME=" + n.dir,
		"ERL_EPMD_PORT=" + strconv.Itoa(mapper), "ERL_EPMD_ADDRESS=127.0.0.1",
		fmt.Sprintf("RABBITMQ_NODENAME=hyperfleet-%d@localhost", n.amqp),
		"RABBITMQ_DIST_PORT=" + strconv.Itoa(dist),
		"RABBITMQ_MNESIA_BASE=" + filepath.Join(n.dir, "mnesia"),
		"RABBITMQ_LOG_BASE=" + filepath.Join(n.dir, "log"),
		"RABBITMQ_CONFIG_FILE=" + filepath.Join(n.dir, "rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + filepath.Join(n.dir, "advanced.config"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(n.dir, "enabled_plugins"),
		"RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RUNNING_UNDER_SYSTEMD=true", // the server replaces its script, so that it is our child
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=+S 1:1 +sbwt none -kernel inet_dist_use_interface {127,0,0,1}",
		"RABBITMQ_CTL_ERL_ARGS=+S 1:1 +sbwt none",
	}
	if o.FeatureFlags != nil {
		n.environment = append(n.environment, "RABBITMQ_FEATURE_FLAGS="+strings.Join(o.FeatureFlags, ","))
	}
	return nil
}

// URL is the node's address for its administrator.
func (n *Node) URL() string { return "amqp://guest:guest@" + n.Addr() + "/" }

// Addr is the node's host and port.
func (n *Node) Addr() string { return net.JoinHostPort("127.0.0.1", strconv.Itoa(n.amqp)) }

// TLSAddr is the node's host and port for TLS.
func (n *Node) TLSAddr() string { return net.JoinHostPort("localhost", strconv.Itoa(n.amqps)) }

// CAFile is the authority that signed the node's certificate.
func (n *Node) CAFile() string { return filepath.Join(n.dir, "ca.pem") }

// ClientCertFile is a certificate with which the node lets a client in by TLS.
func (n *Node) ClientCertFile() string { return filepath.Join(n.dir, "client.pem") }

// ClientKeyFile is its key.
func (n *Node) ClientKeyFile() string { return filepath.Join(n.dir, "client.key") }

// StrangerCertFile is a certificate that nobody known signed; it is its own authority.
func (n *Node) StrangerCertFile() string { return filepath.Join(n.dir, "stranger.pem") }

// StrangerKeyFile is its key.
func (n *Node) StrangerKeyFile() string { return filepath.Join(n.dir, "stranger.key") }

// Start starts the node and waits until a client can do something with it.
func (n *Node) Start() error {
	var err error
	n.server, err = start(filepath.Join(n.sbin, "rabbitmq-server"), n.environment, filepath.Join(n.dir, "server.log"))
	if err != nil {
		return fmt.Errorf("start RabbitMQ: %w", err)
	}
	n.listening = time.Time{}
	for deadline := time.Now().Add(startTimeout); ; {
		err := n.reach()
		if err == nil {
			return nil
		}
		select {
		case <-n.server.ended:
			return fmt.Errorf("RabbitMQ ended while it started:\n%s", n.said())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("RabbitMQ did not start within %s: %w\n%s", startTimeout, err, n.said())
		}
	}
}

// Listening is when the node's port first accepted a connection since its start.
func (n *Node) Listening() time.Time { return n.listening }

func (n *Node) reach() error {
	if n.listening.IsZero() {
		c, err := (&net.Dialer{Timeout: 5 * time.Second}).DialContext(context.Background(), "tcp", n.Addr())
		if err != nil {
			return err
		}
		n.listening = time.Now()
		_ = c.Close() // it only asked
	}
	c, err := amqp.DialConfig(n.URL(), amqp.Config{Dial: amqp.DefaultDial(5 * time.Second)})
	if err != nil {
		return err
	}
	return c.Close()
}

// said is what the server printed, for errors.
func (n *Node) said() string {
	text, _ := os.ReadFile(filepath.Join(n.dir, "server.log")) // without it there is less to say
	return string(text[max(0, len(text)-4000):])
}

// Stop stops the node, in order or as a crash of the machine's process would.
func (n *Node) Stop(kill bool) {
	if n.server == nil {
		return
	}
	sig := syscall.SIGTERM
	if kill {
		sig = syscall.SIGKILL
	}
	n.server.end(sig)
	n.server = nil
}

// Publish sends a message as anybody could, and returns once the node has it.
func (n *Node) Publish(exchange, key string, m amqp.Publishing) error {
	c, err := amqp.DialConfig(n.URL(), amqp.Config{Dial: amqp.DefaultDial(5 * time.Second)})
	if err != nil {
		return err
	}
	defer c.Close()
	ch, err := c.Channel()
	if err != nil {
		return err
	}
	if err := ch.Confirm(false); err != nil {
		return err
	}
	sent, err := ch.PublishWithDeferredConfirm(exchange, key, true, false, m)
	if err == nil && !sent.Wait() {
		err = errors.New("the node did not confirm the message")
	}
	return err
}

// Eval evaluates an Erlang expression in the node.
func (n *Node) Eval(expression string) error {
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(n.sbin, "rabbitmqctl"), "eval", expression) //nolint:gosec // the tests' own
	cmd.Env = n.environment
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("rabbitmqctl eval: %w\n%s", err, out)
	}
	return nil
}

// Alarm raises or clears the alarm for a resource: "memory" or "disk".
func (n *Node) Alarm(resource string, on bool) error {
	expression := fmt.Sprintf("rabbit_alarm:clear_alarm({resource_limit, %s, node()}).", resource)
	if on {
		expression = fmt.Sprintf("rabbit_alarm:set_alarm({{resource_limit, %s, node()}, []}).", resource)
	}
	return n.Eval(expression)
}

// AddUser adds a user of virtual host / with permissions as regular expressions.
func (n *Node) AddUser(name, password, configure, write, read string) error {
	if err := n.Eval(fmt.Sprintf("rabbit_auth_backend_internal:add_user(<<%q>>, <<%q>>, <<\"test\">>).", name, password)); err != nil {
		return err
	}
	return n.Permit(name, configure, write, read)
}

// Permit replaces a user's permissions.
func (n *Node) Permit(name, configure, write, read string) error {
	return n.Eval(fmt.Sprintf("rabbit_auth_backend_internal:set_permissions(<<%q>>, <<\"/\">>, <<%q>>, <<%q>>, <<%q>>, <<\"test\">>).",
		name, configure, write, read))
}

// Close ends the node and removes everything.
func (n *Node) Close() error {
	n.Stop(true)
	if n.mapper != nil {
		n.mapper.end(syscall.SIGKILL)
	}
	return os.RemoveAll(n.dir)
}

// find returns the directory of the server's own programs; those beside other
// programs of the machine insist on a user.
func find() (string, error) {
	candidates, _ := filepath.Glob("/usr/lib/rabbitmq/lib/rabbitmq_server-*/sbin/rabbitmq-server") // the pattern is right
	for _, more := range []string{"/opt/homebrew/sbin", "/usr/local/sbin", "/opt/rabbitmq/sbin"} {
		candidates = append(candidates, filepath.Join(more, "rabbitmq-server"))
	}
	i := slices.IndexFunc(candidates, func(p string) bool { _, err := os.Stat(p); return err == nil })
	if i < 0 {
		return "", ErrNotInstalled
	}
	if _, err := exec.LookPath("epmd"); err != nil {
		return "", fmt.Errorf("%w: epmd, of Erlang, is not in PATH", ErrNotInstalled)
	}
	return filepath.Dir(candidates[i]), nil
}

// freePorts returns ports that are free now.
func freePorts(n int) ([]int, error) {
	var ports []int
	for range n {
		l, err := new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close() // only then, so that all differ
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports, nil
}
