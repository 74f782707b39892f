// Command probe is the program of the tests' pods.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"
)

const mounted = "/var/run/secrets/kubernetes.io/serviceaccount/"

func main() {
	if err := act(os.Args[1], os.Args[2]); err != nil {
		fmt.Println("error:", err)
		os.Exit(3)
	}
}

// act does what the test asks for.
func act(what, with string) error {
	switch what {
	case "say": // in the log, and in the termination message
		fmt.Println("saying", with)
		return os.WriteFile("/dev/termination-log", []byte(with), 0o600)
	case "serve":
		return http.ListenAndServe(":8080", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, with) }))
	case "fetch":
		return fetch(with, nil, "")
	case "api": // as the pod's service account
		authority, err := os.ReadFile(mounted + "ca.crt")
		if err != nil {
			return err
		}
		token, err := os.ReadFile(mounted + "token")
		if err != nil {
			return err
		}
		return fetch("https://kubernetes.default.svc"+with, authority, string(token))
	}
	return errors.New("do what?")
}

// fetch prints what a server says, which it may begin to do in a while.
func fetch(url string, authority []byte, token string) error {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(authority)
	client := &http.Client{Timeout: 2 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}}
	for try := 0; ; try++ {
		text, err := get(client, url, token)
		if err == nil {
			fmt.Print(text)
			return os.WriteFile("/dev/termination-log", []byte(text), 0o600)
		}
		if try == 100 {
			return err
		}
		fmt.Println(err)
		time.Sleep(200 * time.Millisecond)
	}
}

func get(client *http.Client, url, token string) (string, error) {
	request, err := http.NewRequest(http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	answer, err := client.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(io.LimitReader(answer.Body, 2000))
	if answer.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s", answer.Status, text)
	}
	return string(text), err
}
