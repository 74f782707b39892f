package service

import "runtime/debug"

// release and commit are set by the linker where a build is stamped, as those of
// images are: -X …/libs/service.release=v2.0.0.
var release, commit string

// Version returns the version of the running program: the release that it was
// stamped with or built as, else the commit (with "+dirty" for a changed tree),
// else "dev".
func Version() string {
	if release != "" {
		return release
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "dev"
	}
	return version(info)
}

// described is the version for people, with the commit that was stamped beside it.
func described() string {
	if commit == "" {
		return Version()
	}
	return Version() + " (" + short(commit) + ")"
}

func version(info *debug.BuildInfo) string {
	if v := info.Main.Version; v != "" && v != "(devel)" {
		return v
	}
	revision, dirty := "", ""
	for _, s := range info.Settings {
		switch {
		case s.Key == "vcs.revision":
			revision = s.Value
		case s.Key == "vcs.modified" && s.Value == "true":
			dirty = "+dirty"
		}
	}
	if revision == "" {
		return "dev"
	}
	return short(revision) + dirty
}

// short cuts the commit's hash and keeps what follows it.
func short(commit string) string {
	const whole, enough = 40, 12
	if len(commit) < whole {
		return commit[:min(enough, len(commit))]
	}
	return commit[:enough] + commit[whole:]
}
