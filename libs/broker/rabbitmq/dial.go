package rabbitmq

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"

	"github.com/hyperfleet/hyperfleet/libs/broker"
	"github.com/hyperfleet/hyperfleet/libs/broker/health"
)

const (
	// dialTimeout bounds everything until the connection is open.
	dialTimeout = 10 * time.Second
	// closeTimeout bounds the parting from a broker that may not answer.
	closeTimeout = time.Second / 2
	// heartbeat is how often a silent broker is asked for a sign of life.
	heartbeat = 10 * time.Second
)

// dialer opens connections. It reads its files again for each.
type dialer struct {
	settings broker.Settings
}

// use opens a connection for do. The connection ends when do returns, or when
// ctx ends: nothing that waits for an answer of the broker waits any longer.
func (d dialer) use(ctx context.Context, name string, do func(*amqp.Connection) error) error {
	conn, err := d.dial(ctx, name)
	if err != nil {
		return err
	}
	defer part(conn)
	defer context.AfterFunc(ctx, func() { part(conn) })()
	return do(conn)
}

// part ends a connection whose broker may not answer.
func part(conn *amqp.Connection) { _ = conn.CloseDeadline(time.Now().Add(closeTimeout)) }

// dial opens a connection whose name tells people at the broker what it is for.
func (d dialer) dial(ctx context.Context, name string) (*amqp.Connection, error) {
	uri, err := d.address()
	if err != nil {
		return nil, err
	}
	user, err := d.user(uri)
	if err != nil {
		return nil, err
	}
	tlsConfig, err := d.tls(uri)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	unbind := func() bool { return true }
	defer func() { unbind() }() // before the context ends
	properties := amqp.NewConnectionProperties()
	properties.SetClientConnectionName(name)
	// The address is put together without user and password: the library
	// quotes it in errors.
	bare := amqp.URI{Scheme: uri.Scheme, Host: uri.Host, Port: uri.Port, Vhost: uri.Vhost}
	c, err := amqp.DialConfig(bare.String(), amqp.Config{
		SASL: []amqp.Authentication{user}, Vhost: uri.Vhost, Heartbeat: heartbeat,
		TLSClientConfig: tlsConfig, Properties: properties,
		Dial: func(network, addr string) (net.Conn, error) {
			conn, err := (&net.Dialer{}).DialContext(ctx, network, addr)
			if err != nil {
				return nil, err
			}
			// The handshake ends with the context. The library takes the deadline
			// away once the connection is open.
			unbind = context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Now()) })
			return conn, nil
		},
	})
	if err != nil {
		return nil, dialError(uri, user.Username, err)
	}
	return c, nil
}

// address returns the broker's address. Its errors do not quote it.
func (d dialer) address() (amqp.URI, error) {
	text, where := d.settings.URL, "--broker-url"
	if d.settings.URLFile != "" {
		where = d.settings.URLFile
		var err error
		if text, err = readSecret(d.settings.URLFile); err != nil {
			return amqp.URI{}, failure(health.Configuration, fmt.Errorf("read the broker's address: %w", err))
		}
	}
	if text == "" {
		return amqp.URI{}, failure(health.Configuration, errors.New("the broker's address is not set: give --broker-url or --broker-url-file, such as amqps://rabbitmq:5671/"))
	}
	uri, err := amqp.ParseURI(text)
	if err != nil {
		return amqp.URI{}, failure(health.Configuration, fmt.Errorf("%s: is no address of the form amqp://host:port/vhost or amqps://…", where))
	}
	return uri, nil
}

// user returns who the process is at the broker.
func (d dialer) user(uri amqp.URI) (*amqp.PlainAuth, error) {
	user := &amqp.PlainAuth{Username: uri.Username, Password: uri.Password}
	for _, f := range []struct {
		path string
		to   *string
	}{{d.settings.UsernameFile, &user.Username}, {d.settings.PasswordFile, &user.Password}} {
		if f.path == "" {
			continue
		}
		text, err := readSecret(f.path)
		if err != nil {
			return nil, failure(health.Configuration, fmt.Errorf("read the broker's credentials: %w", err))
		}
		*f.to = text
	}
	return user, nil
}

// tls returns how to speak TLS, or nil.
func (d dialer) tls(uri amqp.URI) (*tls.Config, error) {
	if uri.Scheme != "amqps" {
		return nil, nil
	}
	c := &tls.Config{ServerName: uri.Host, MinVersion: tls.VersionTLS12}
	if d.settings.CAFile != "" {
		pem, err := os.ReadFile(d.settings.CAFile)
		if err != nil {
			return nil, failure(health.Configuration, fmt.Errorf("read the broker's authorities: %w", err))
		}
		c.RootCAs = x509.NewCertPool()
		if !c.RootCAs.AppendCertsFromPEM(pem) {
			return nil, failure(health.Configuration, fmt.Errorf("%s: has no certificate in PEM form", d.settings.CAFile))
		}
	}
	if d.settings.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(d.settings.CertFile, d.settings.KeyFile)
		if err != nil {
			return nil, failure(health.Configuration, fmt.Errorf("load the certificate for the broker: %w", err))
		}
		c.Certificates = []tls.Certificate{pair}
	}
	return c, nil
}

// readSecret reads a small file without the line end that editors add.
func readSecret(path string) (string, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return "", err
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}

// dialError says in words for an operator why there is no connection.
func dialError(uri amqp.URI, username string, err error) error {
	at := net.JoinHostPort(uri.Host, fmt.Sprint(uri.Port))
	var refused *amqp.Error
	if !errors.As(err, &refused) {
		return failure(health.Unreachable, fmt.Errorf("connect to the broker at %s: %w", at, err))
	}
	switch refused.Code {
	case amqp.AccessRefused:
		return failure(health.Credentials, fmt.Errorf("the broker at %s refuses user %q: check the credentials and the user's permission for virtual host %q: %w", at, username, uri.Vhost, err))
	case amqp.NotAllowed, amqp.InvalidPath:
		return failure(health.Credentials, fmt.Errorf("the broker at %s does not let user %q into virtual host %q: check that it exists and the user's permission: %w", at, username, uri.Vhost, err))
	}
	return failure(health.Unreachable, fmt.Errorf("connect to the broker at %s: %w", at, err))
}
