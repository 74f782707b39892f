package adapter

import (
	"bytes"
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

// watched is what a test sees of a watch over letters.
type watched struct {
	*deadLetters
	t   *testing.T
	reg *prometheus.Registry
	log bytes.Buffer
}

func watch(t *testing.T, letters broker.DeadLetters) *watched {
	t.Helper()
	w := &watched{t: t, reg: prometheus.NewRegistry()}
	d, err := watchDeadLetters(w.reg, "dns", "dns-sub", letters, slog.New(slog.NewTextHandler(&w.log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	w.deadLetters = d
	return w
}

// shows compares the metrics; an empty count means that there are none.
func (w *watched) shows(count, age string) {
	w.t.Helper()
	text := ""
	if count != "" {
		labels := `{adapter="dns",subscription="dns-sub"} `
		text = "# HELP hyperfleet_adapter_dead_letters Events that were given up and wait for somebody to look, at least: on gcp-pubsub at most 1,000 are counted; absent until they were counted.\n" +
			"# TYPE hyperfleet_adapter_dead_letters gauge\nhyperfleet_adapter_dead_letters" + labels + count + "\n" +
			"# HELP hyperfleet_adapter_dead_letters_oldest_age_seconds Age of the oldest dead letter; 0 without any, absent until they were counted.\n" +
			"# TYPE hyperfleet_adapter_dead_letters_oldest_age_seconds gauge\nhyperfleet_adapter_dead_letters_oldest_age_seconds" + labels + age + "\n"
	}
	if err := testutil.GatherAndCompare(w.reg, strings.NewReader(text)); err != nil {
		w.t.Error(err)
	}
}

func TestACountThatFailsIsSaidOnceAndNeverReadsAsNone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		letters := &fixedLetters{err: errors.New("away")}
		w := watch(t, letters)
		for range 3 {
			w.look(t.Context())
			w.shows("", "")
		}
		if n := strings.Count(w.log.String(), "cannot be counted"); n != 1 {
			t.Errorf("said %d times:\n%s", n, w.log.String())
		}
		letters.set(broker.DeadLetterStats{Count: 3, Oldest: time.Now().Add(-time.Minute)}, nil)
		w.look(t.Context())
		w.shows("3", "60")
		letters.set(broker.DeadLetterStats{}, errors.New("away"))
		time.Sleep(30 * time.Second)
		w.look(t.Context())
		w.shows("3", "90")
		if n := strings.Count(w.log.String(), "cannot be counted"); n != 2 {
			t.Errorf("said %d times:\n%s", n, w.log.String())
		}
	})
}

func TestLettersThatAnotherLooksAtAreCountedStill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		letters := &fixedLetters{stats: broker.DeadLetterStats{Count: 5, Oldest: time.Now()}}
		w := watch(t, letters)
		w.look(t.Context())
		letters.set(broker.DeadLetterStats{}, nil) // held by another replica's count
		for range recentCounts - 1 {
			w.look(t.Context())
			w.shows("5", "0")
		}
		if sum := total([]*deadLetters{w.deadLetters}); sum.Count != 5 || sum.Oldest == nil {
			t.Errorf("registered as %+v", sum)
		}
		w.look(t.Context())
		w.shows("0", "0")
	})
}

func TestDeadLettersAreCountedUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		letters := &fixedLetters{}
		w := watch(t, letters)
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- w.run(ctx) }()
		synctest.Wait()
		w.shows("0", "0")
		letters.set(broker.DeadLetterStats{Count: 1, Oldest: time.Now().Add(2 * countEvery)}, nil)
		time.Sleep(2 * countEvery)
		synctest.Wait()
		w.shows("1", "0")
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
