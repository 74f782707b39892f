package service

import (
	"bytes"
	"strings"
	"testing"
)

func TestALoggerWritesFromItsLevelUpwards(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"json", "text"} {
		var out bytes.Buffer
		log, err := NewLogger(&out, "warn", format)
		if err != nil {
			t.Fatal(err)
		}
		log.Info("quiet")
		log.Warn("loud", "cluster", "c-1")
		if got := out.String(); strings.Contains(got, "quiet") || !strings.Contains(got, "loud") || !strings.Contains(got, "c-1") {
			t.Errorf("%s: %s", format, got)
		}
	}
}

func TestALoggersErrorNamesEveryProblem(t *testing.T) {
	t.Parallel()
	_, err := NewLogger(nil, "loud", "xml")
	if err == nil || !strings.Contains(err.Error(), `"loud"`) || !strings.Contains(err.Error(), `"xml"`) {
		t.Errorf("NewLogger = %v", err)
	}
}
