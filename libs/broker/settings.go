package broker

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"github.com/spf13/pflag"
)

// Settings are what a process is told about its broker beside what its configs
// say: where it is, and how to prove who one is. Secrets are in files, which
// are read again at every connection.
type Settings struct {
	URL            string // of rabbitmq: amqp or amqps; without a password
	URLFile        string // instead of URL; may hold a password
	UsernameFile   string
	PasswordFile   string
	CAFile         string // PEM; "" = the system's
	CertFile       string // client certificate, PEM
	KeyFile        string
	SecretsDir     string // has a folder for each Secret that a config may name
	CreateTopology bool   // of gcp-pubsub: create topics and subscriptions that are missing
}

// Declare adds the settings to a program's flags.
func (s *Settings) Declare(f *pflag.FlagSet) {
	f.StringVar(&s.URL, "broker-url", s.URL, "address of the message broker, such as amqps://rabbitmq:5671/vhost; without a password")
	f.StringVar(&s.URLFile, "broker-url-file", s.URLFile, "file with the broker's address, which may hold credentials")
	f.StringVar(&s.UsernameFile, "broker-username-file", s.UsernameFile, "file with the user's name at the broker")
	f.StringVar(&s.PasswordFile, "broker-password-file", s.PasswordFile, "file with the user's password at the broker")
	f.StringVar(&s.CAFile, "broker-ca-file", s.CAFile, "PEM file with the authorities that sign the broker's certificate (default: the system's)")
	f.StringVar(&s.CertFile, "broker-cert-file", s.CertFile, "PEM file with the client's certificate")
	f.StringVar(&s.KeyFile, "broker-key-file", s.KeyFile, "PEM file with the key of the client's certificate")
	f.StringVar(&s.SecretsDir, "broker-secrets-dir", s.SecretsDir, "folder in which the Secrets that configs name (broker.secretRef) are mounted, each under its name")
	f.BoolVar(&s.CreateTopology, "create-topology", s.CreateTopology, "create what is missing at a broker of type gcp-pubsub")
}

// Validate names every problem of s that shows without the broker.
func (s Settings) Validate() error {
	var problems []error
	if s.URL != "" && s.URLFile != "" {
		problems = append(problems, errors.New("--broker-url and --broker-url-file: give one of them"))
	}
	if s.URL != "" {
		u, err := url.Parse(s.URL)
		switch {
		case err != nil: // it would quote the address
			problems = append(problems, errors.New("--broker-url: is no URL"))
		case hasPassword(u):
			problems = append(problems, errors.New("--broker-url: has a password, which everybody on the machine can see; use --broker-url-file or --broker-password-file"))
		}
	}
	if (s.CertFile == "") != (s.KeyFile == "") {
		problems = append(problems, errors.New("--broker-cert-file and --broker-key-file: give both or neither"))
	}
	if s.UsernameFile == "" && s.PasswordFile != "" {
		problems = append(problems, errors.New("--broker-password-file: needs --broker-username-file"))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	return nil
}

// WithSecret returns s with what a mounted Secret has instead: its keys are url,
// username, password, ca.crt, tls.crt and tls.key. An address of the Secret's
// own takes the process's name and password away: they are for another broker.
func (s Settings) WithSecret(name string) (Settings, error) {
	if s.SecretsDir == "" {
		return s, fmt.Errorf("broker.secretRef: %s: set --broker-secrets-dir to where Secrets are mounted", name)
	}
	dir := filepath.Join(s.SecretsDir, name)
	keys := map[string]string{}
	for _, key := range []string{"url", "username", "password", "ca.crt", "tls.crt", "tls.key"} {
		file := filepath.Join(dir, key)
		if _, err := os.Stat(file); err == nil {
			keys[key] = file
		}
	}
	if len(keys) == 0 {
		return s, fmt.Errorf("broker.secretRef: %s: nothing of it is mounted at %s; it needs url, username, password, ca.crt, tls.crt or tls.key", name, dir)
	}
	if file := keys["url"]; file != "" {
		s.URL, s.URLFile, s.UsernameFile, s.PasswordFile = "", file, "", ""
	}
	for key, setting := range map[string]*string{"username": &s.UsernameFile, "password": &s.PasswordFile, "ca.crt": &s.CAFile, "tls.crt": &s.CertFile, "tls.key": &s.KeyFile} {
		if file := keys[key]; file != "" {
			*setting = file
		}
	}
	return s, nil
}

func hasPassword(u *url.URL) bool {
	_, has := u.User.Password()
	return has
}
