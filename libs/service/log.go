package service

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// NewLogger returns a logger that writes to w from level (debug, info, warn or
// error) upwards, in format json or text. An error names every bad argument.
func NewLogger(w io.Writer, level, format string) (*slog.Logger, error) {
	var problems []error
	var least slog.Level
	switch strings.ToLower(level) {
	case "debug":
		least = slog.LevelDebug
	case "info":
		least = slog.LevelInfo
	case "warn":
		least = slog.LevelWarn
	case "error":
		least = slog.LevelError
	default:
		problems = append(problems, fmt.Errorf("log level %q is not one of debug, info, warn, error", level))
	}
	var handler slog.Handler
	options := &slog.HandlerOptions{Level: least}
	switch format {
	case "json":
		handler = slog.NewJSONHandler(w, options)
	case "text":
		handler = slog.NewTextHandler(w, options)
	default:
		problems = append(problems, fmt.Errorf("log format %q is not one of json, text", format))
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return slog.New(handler), nil
}
