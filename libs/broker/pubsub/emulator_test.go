package pubsub

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/hyperfleet/hyperfleet/libs/broker/brokertest"
)

// ceiling is how long anything that must happen may take.
const ceiling = 30 * time.Second

// deaf is what emulator 0.8.20 logs a NoSuchMethodError for. The fake has the
// same themes.
const deaf = "the emulator does not notice when a connection breaks, and goes on sending to its streams for ever"

func TestConformanceOnTheEmulator(t *testing.T) {
	t.Parallel()
	server := startEmulator(t)
	brokertest.Exercise(t, func(t testing.TB) brokertest.Harness { return newHarness(t, server) },
		brokertest.Together(atOnce), brokertest.Leases(lease),
		brokertest.Without(brokertest.Bounding, "Pub/Sub's subscriptions have no size"),
		brokertest.Without(brokertest.Unburying, "the driver checks that the dead letters have a topic before it receives"),
		brokertest.Without(brokertest.Returning, "an acknowledgement outlives the connection that brought the event"),
		brokertest.Without(brokertest.Freezing, "the emulator does not tell what it holds"),
		brokertest.Without(brokertest.Cutting, deaf),
		brokertest.Without(brokertest.Restarting, deaf),
		brokertest.Without(brokertest.Denying, "the emulator has no permissions"),
		brokertest.Without(brokertest.Alarming, "the emulator has no quota"))
}

// startEmulator starts Google's emulator and returns its address. Where it is
// not installed the test is skipped.
func startEmulator(t testing.TB) string {
	t.Helper()
	jar, why := findEmulator()
	if jar == "" {
		t.Skip("SKIPPED: the Pub/Sub emulator is not installed: " + why)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	_, port, _ := net.SplitHostPort(addr)
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, "java", "-Xmx512m", "-jar", jar, "--host=127.0.0.1", "--port="+port)
	cmd.SysProcAttr = tied()
	if err := cmd.Start(); err != nil {
		t.Fatalf("start the emulator: %v", err)
	}
	t.Cleanup(func() {
		stop()
		cmd.Wait()
	})
	for deadline := time.Now().Add(2 * ceiling); ; time.Sleep(50 * time.Millisecond) {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
			return addr
		}
		if time.Now().After(deadline) {
			t.Fatalf("the emulator does not answer: %v", err)
		}
	}
}

// findEmulator returns the emulator's program, or says what is missing.
func findEmulator() (jar, why string) {
	if _, err := exec.LookPath("java"); err != nil {
		return "", "there is no java"
	}
	gcloud, err := exec.LookPath("gcloud")
	if err != nil {
		return "", "there is no gcloud"
	}
	if gcloud, err = filepath.EvalSymlinks(gcloud); err != nil {
		return "", err.Error()
	}
	jars, _ := filepath.Glob(filepath.Join(filepath.Dir(filepath.Dir(gcloud)), "platform", "pubsub-emulator", "lib", "cloud-pubsub-emulator-*.jar"))
	if len(jars) == 0 {
		return "", fmt.Sprintf("%s has no component pubsub-emulator", gcloud)
	}
	return jars[len(jars)-1], ""
}
