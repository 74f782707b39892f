package adapter

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/hyperfleet/hyperfleet/libs/broker"
)

// fixedLetters has the given stats, or an error.
type fixedLetters struct {
	broker.DeadLetters
	mu    sync.Mutex
	stats broker.DeadLetterStats
	err   error
}

func (f *fixedLetters) Stats(context.Context) (broker.DeadLetterStats, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stats, f.err
}

func (f *fixedLetters) set(stats broker.DeadLetterStats, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stats, f.err = stats, err
}

func TestDeadLettersAreCountedAndTheLastCountStandsWhileTheBrokerIsAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		letters, reg := &fixedLetters{}, prometheus.NewRegistry()
		d, err := watchDeadLetters(reg, "dns", "dns-sub", letters, slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		want := func(count, age string) {
			t.Helper()
			labels := `{adapter="dns",subscription="dns-sub"} `
			text := "# HELP hyperfleet_adapter_dead_letters Events that were given up and wait for somebody to look.\n" +
				"# TYPE hyperfleet_adapter_dead_letters gauge\nhyperfleet_adapter_dead_letters" + labels + count + "\n" +
				"# HELP hyperfleet_adapter_dead_letters_oldest_age_seconds Age of the oldest dead letter; 0 without any.\n" +
				"# TYPE hyperfleet_adapter_dead_letters_oldest_age_seconds gauge\nhyperfleet_adapter_dead_letters_oldest_age_seconds" + labels + age + "\n"
			if err := testutil.GatherAndCompare(reg, strings.NewReader(text)); err != nil {
				t.Error(err)
			}
		}
		want("0", "0")
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		letters.set(broker.DeadLetterStats{Count: 3, Oldest: time.Now().Add(-time.Minute)}, nil)
		go d.run(ctx)
		synctest.Wait()
		want("3", "60")
		letters.set(broker.DeadLetterStats{}, errors.New("away"))
		time.Sleep(countEvery)
		synctest.Wait()
		want("3", "90")
		letters.set(broker.DeadLetterStats{}, nil)
		time.Sleep(countEvery)
		synctest.Wait()
		want("0", "0")
	})
}
