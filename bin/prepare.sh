# Sourced by quickstart and test: the tools that they need. As root on Debian and its kin what is missing is
# installed; elsewhere it is named.

# can_install: may packages be installed here?
can_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null
}

# install PACKAGE…
install() {
    echo "Installing $* ..."
    apt-get update -qq >/dev/null && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "$@" >/dev/null
}

# need_rust: cargo (through rustup, which follows rust-toolchain.toml) and a linker.
need_rust() {
    command -v cargo >/dev/null || PATH=$PATH:${CARGO_HOME:-$HOME/.cargo}/bin
    if ! command -v cc >/dev/null && can_install; then
        install build-essential || true
    fi
    # Debian's own cargo may be years older than the toolchain that this needs; rustup fetches the right one.
    if ! command -v cargo >/dev/null && can_install; then
        install rustup || true
    fi
    command -v cc >/dev/null ||
        fail "A C compiler is missing (to link programs): install gcc or clang, on Debian \"apt-get install build-essential\"."
    command -v cargo >/dev/null ||
        fail "Rust is missing: install rustup, see https://rustup.rs; it fetches the version that this needs."
    (cd "$base" && cargo --version >/dev/null) ||
        fail "cargo does not work here; the reason is above. With rustup, \"rustup toolchain install\" in $base may help."
}

# java_is_new_enough: version 17 or later.
java_is_new_enough() {
    local version
    command -v javac >/dev/null || return 1
    version=$(javac -version 2>&1 | sed 's/^javac \([0-9]*\).*/\1/')
    [[ $version =~ ^[0-9]+$ ]] && [ "$version" -ge 17 ]
}

# missing_for_interop: the names of Debian packages that the official clients need and that are not there.
missing_for_interop() {
    java_is_new_enough || echo openjdk-17-jdk-headless
    command -v mvn >/dev/null || echo maven
    command -v go >/dev/null || echo golang
}

# need_official_clients: a JDK, maven and go.
need_official_clients() {
    local missing
    missing=$(missing_for_interop | tr '\n' ' ')
    if [ -n "$missing" ] && can_install; then
        # A release of Debian has one JDK, under its number and as the default.
        # shellcheck disable=SC2086
        install $missing || install ${missing/openjdk-17-jdk-headless/default-jdk-headless} || true
        missing=$(missing_for_interop | tr '\n' ' ')
    fi
    [ -z "$missing" ] || fail "The tests with official clients need a JDK (17 or later), maven and go. Missing: $missing
(names as on Debian). Install them, or leave these tests out with --no-interop."
}
