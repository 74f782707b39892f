package pgdev

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"time"
)

// Major versions of PostgreSQL that are used; newer ones are preferred.
const (
	oldestMajor = 14
	newestMajor = 18
)

// searched tells people where find looked.
const searched = "looked for versions 14 to 18 in /usr/lib/postgresql, /usr/pgsql-*, PATH, Homebrew's and Postgres.app's directories, and the cache"

// find returns the directory of the newest usable PostgreSQL's programs, or "".
func find() string {
	for _, dir := range candidates() {
		if usable(dir) {
			return dir
		}
	}
	return ""
}

// candidates lists directories in which PostgreSQL may be, best first.
func candidates() []string {
	var dirs []string
	for major := newestMajor; major >= oldestMajor; major-- {
		v := strconv.Itoa(major)
		dirs = append(dirs,
			"/usr/lib/postgresql/"+v+"/bin",
			"/usr/pgsql-"+v+"/bin",
			"/opt/homebrew/opt/postgresql@"+v+"/bin",
			"/usr/local/opt/postgresql@"+v+"/bin",
			"/Applications/Postgres.app/Contents/Versions/"+v+"/bin",
		)
	}
	if initdb, err := exec.LookPath("initdb"); err == nil {
		if target, err := filepath.EvalSymlinks(initdb); err == nil {
			dirs = append(dirs, filepath.Dir(target))
		}
	}
	if cache, err := cacheDir(); err == nil {
		dirs = append(dirs, filepath.Join(cache, "bin"))
	}
	return dirs
}

// usable says whether dir has the programs that are needed, in a version that is used.
func usable(dir string) bool {
	for _, program := range []string{"initdb", "postgres"} {
		if !exists(filepath.Join(dir, program)) {
			return false
		}
	}
	return slices.Contains(majors(), major(dir))
}

func majors() []int {
	var all []int
	for m := oldestMajor; m <= newestMajor; m++ {
		all = append(all, m)
	}
	return all
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// major asks the server in dir for its major version; 0 means that it does not run.
func major(dir string) int {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	out, err := exec.CommandContext(ctx, filepath.Join(dir, "postgres"), "--version").Output() //nolint:gosec // a program that was looked for
	if err != nil {
		return 0
	}
	match := versionPattern.FindSubmatch(out)
	if match == nil {
		return 0
	}
	v, _ := strconv.Atoi(string(match[1])) // digits only
	return v
}

// installHint is the command that makes PostgreSQL available on this kind of machine.
func installHint() string {
	if runtime.GOOS == "darwin" {
		return "install it with: brew install postgresql@17"
	}
	if os.Geteuid() == 0 {
		return "install it with: apt-get update && apt-get install --no-install-recommends postgresql"
	}
	return "install it with: sudo apt-get update && sudo apt-get install --no-install-recommends postgresql"
}
