# Sourced by scripts that build a test's server from source: finds Go, installs it when it is missing
# and we are root, builds once into a cache. `program` names who speaks.

GO_MINOR_LEAST=21 # fetches by itself the newer one that a module asks for
cache=${XDG_CACHE_HOME:-$HOME/.cache}/moraine/bin

say() { echo "$program: $*" >&2; }

# Prints the path of a Go that is new enough, if there is one.
find_go() {
    local go version minor
    for go in "$(command -v go || true)" /usr/local/go/bin/go /usr/lib/go-1.*/bin/go; do
        [ -x "$go" ] || continue
        version=$(GOTOOLCHAIN=local "$go" env GOVERSION 2>/dev/null) || continue
        minor=${version#go1.}
        minor=${minor%%[!0-9]*}
        if [ "${minor:-0}" -ge "$GO_MINOR_LEAST" ]; then
            echo "$go"
            return 0
        fi
    done
    return 1
}

# Debian's own Go is too old; the backports have a newer one. The lists are kept apart, so the
# machine's own sources stay as they are.
install_go() {
    local mirror suite lists
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        say "Go 1.$GO_MINOR_LEAST or newer is needed to build it; or put $program on PATH"
        return 1
    fi
    suite=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    mirror=$(apt-cache policy | sed -n "s|^ *[0-9]* \(https\?://[^ ]*\) $suite/main .*|\1|p" | head -1)
    if [ -z "$mirror" ]; then
        say "no Debian mirror among this machine's sources; install Go 1.$GO_MINOR_LEAST or newer"
        return 1
    fi
    say "installing Go from $suite-backports"
    lists=$(mktemp -d)
    chmod 755 "$lists" # apt reads it as another user
    mkdir -p "$lists/state/partial" "$lists/parts"
    printf 'deb %s %s main\n' "$mirror" "$suite" "$mirror" "$suite-backports" >"$lists/sources.list"
    local options=(-qq -o "Dir::Etc::sourcelist=$lists/sources.list"
        -o "Dir::Etc::sourceparts=$lists/parts" -o "Dir::State::lists=$lists/state"
        -o Dir::Cache::pkgcache= -o Dir::Cache::srcpkgcache=)
    apt-get "${options[@]}" update >&2 &&
        DEBIAN_FRONTEND=noninteractive apt-get "${options[@]}" install -y --no-install-recommends \
            -t "$suite-backports" golang-go >&2
    local status=$?
    rm -rf "$lists"
    return $status
}

# go_install FOLDER ARGUMENTS of `go install`...: the programs end up in FOLDER.
go_install() {
    local go folder=$1
    shift
    go=$(find_go) || { install_go && go=$(find_go); } || return 1
    say "building ${*: -1}; this takes a few minutes, once"
    GOBIN=$folder GOTOOLCHAIN=auto GOFLAGS=-buildvcs=false CGO_ENABLED=0 "$go" install "$@" >&2
}

# One builds, the others wait for it.
lock_cache() {
    mkdir -p "$cache"
    exec 9>"$cache/.lock"
    flock 9
}
