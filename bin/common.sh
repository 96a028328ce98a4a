# Sourced by the scripts beside it, which set $script to their own path, links resolved: where things are.

bin=$(dirname "$script")
base=$(dirname "$bin")
targets=${CARGO_TARGET_DIR:-$base/target}

# As in Java: where the product is installed, unless the operator says otherwise.
ROCKETMQ_HOME=${ROCKETMQ_HOME:-$base}
export ROCKETMQ_HOME

# is_program FILE: an executable that is not one of these scripts, which have the same names.
is_program() {
    [ -f "$1" ] && [ -x "$1" ] && [ "$(head -c 2 "$1" 2>/dev/null)" != '#!' ]
}

# find_program NAME [SUBFOLDER]: sets $program, or says how to get it.
# Installed, programs are in lib/ or bin/; in a checkout, where cargo puts them (in $2 of the profile).
find_program() {
    for program in "$base/lib/$1" "$bin/$1" \
        "$targets/release/${2:+$2/}$1" "$targets/debug/${2:+$2/}$1" \
        "$ROCKETMQ_HOME/lib/$1" "$ROCKETMQ_HOME/bin/$1"; do
        is_program "$program" && return 0
    done
    return 1
}

# not_built NAME PACKAGE [FLAGS]: the end of a script whose program is missing.
not_built() {
    echo "The program $1 is not there. Build it with:" >&2
    echo "    (cd $base && cargo build --release -p $2${3:+ $3})" >&2
    exit 1
}

# run_program NAME PACKAGE [ARGUMENT…]: becomes the program.
run_program() {
    name=$1 package=$2
    shift 2
    find_program "$name" || not_built "$name" "$package"
    exec "$program" "$@"
}
