package acme

import (
	"context"
	"crypto"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"

	"github.com/hyperfleet/hyperfleet/components/jobs/internal/disk"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/exit"
	"github.com/hyperfleet/hyperfleet/components/jobs/internal/keys"
)

// requestTimeout bounds one request; pollTimeout the server's checks.
const (
	requestTimeout = 30 * time.Second
	pollTimeout    = 5 * time.Minute
)

// Records publishes TXT records and waits until they are seen.
type Records interface {
	Present(ctx context.Context, name, text string) error
	Withdraw(ctx context.Context, name, text string) error
}

// Issuer is an account with an ACME server.
type Issuer struct {
	Directory  string // URL
	RootsFile  string // PEM certificates that the server's own is trusted by; "" = the system's
	AccountKey string // file
	Files      disk.Files
	Records    Records
	Log        *slog.Logger
}

// Issue obtains a certificate for hosts and returns its chain and key, in PEM.
// What the server refuses for good is final; what may pass is to be tried again.
func (i Issuer) Issue(ctx context.Context, hosts []string) (chain, key []byte, err error) {
	client, err := i.client()
	if err != nil {
		return nil, nil, err
	}
	account, err := i.account(ctx, client.Client)
	if err != nil {
		return nil, nil, err
	}
	signer, key, err := keys.New()
	if err != nil {
		return nil, nil, err
	}
	certificates, err := client.ObtainCertificateForSANs(ctx, account, signer, hosts)
	if err != nil {
		return nil, nil, judged(fmt.Errorf("obtain a certificate from %s: %w", i.Directory, err))
	}
	if len(certificates) == 0 {
		return nil, nil, fmt.Errorf("obtain a certificate from %s: it gave none", i.Directory)
	}
	return certificates[0].ChainPEM, key, nil
}

func (i Issuer) client() (acmez.Client, error) {
	transport := &http.Transport{Proxy: http.ProxyFromEnvironment}
	if i.RootsFile != "" {
		text, err := os.ReadFile(i.RootsFile)
		if err != nil {
			return acmez.Client{}, fmt.Errorf("read the ACME server's roots: %w", err)
		}
		roots := x509.NewCertPool()
		if !roots.AppendCertsFromPEM(text) {
			return acmez.Client{}, fmt.Errorf("read the ACME server's roots: %s has no PEM certificate", i.RootsFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	}
	return acmez.Client{
		Client: &acme.Client{Directory: i.Directory, HTTPClient: &http.Client{Timeout: requestTimeout, Transport: transport},
			UserAgent: "hyperfleet", PollTimeout: pollTimeout, Logger: i.Log},
		ChallengeSolvers: map[string]acmez.Solver{acme.ChallengeTypeDNS01: solver{i.Records}},
	}, nil
}

// account finds or makes the account of the key. Making one that there is finds it.
func (i Issuer) account(ctx context.Context, client *acme.Client) (acme.Account, error) {
	unlock, err := i.Files.Lock(ctx, i.AccountKey)
	if err != nil {
		return acme.Account{}, err
	}
	defer unlock()
	text, err := disk.Read(i.AccountKey)
	if err != nil {
		return acme.Account{}, err
	}
	var signer crypto.Signer
	if text != nil {
		signer, err = keys.Parse(text)
	} else if signer, text, err = keys.New(); err == nil {
		_, err = i.Files.Write(i.AccountKey, text, disk.Private)
	}
	if err != nil {
		return acme.Account{}, fmt.Errorf("the key of the ACME account: %w", err)
	}
	account, err := client.NewAccount(ctx, acme.Account{TermsOfServiceAgreed: true, PrivateKey: signer})
	if err != nil {
		return acme.Account{}, judged(fmt.Errorf("register with %s: %w", i.Directory, err))
	}
	return account, nil
}

// final are the problems (RFC 8555, section 6.7) that trying again does not
// solve.
var final = []string{acme.ProblemTypeRejectedIdentifier, acme.ProblemTypeUnsupportedIdentifier, acme.ProblemTypeUnauthorized,
	acme.ProblemTypeExternalAccountRequired, acme.ProblemTypeUserActionRequired, acme.ProblemTypeBadCSR, acme.ProblemTypeCAA}

// judged marks what may pass: the server is away, busy or has not seen the
// record yet.
func judged(err error) error {
	problem, ok := errors.AsType[acme.Problem](err)
	if ok {
		for _, typ := range final {
			if problem.Type == typ {
				return err
			}
		}
	}
	return exit.Later(err)
}

// solver proves control of a name by a TXT record.
type solver struct{ Records }

func (s solver) Present(ctx context.Context, c acme.Challenge) error {
	return s.Records.Present(ctx, c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
}

func (s solver) CleanUp(ctx context.Context, c acme.Challenge) error {
	return s.Withdraw(ctx, c.DNS01TXTRecordName(), c.DNS01KeyAuthorization())
}
