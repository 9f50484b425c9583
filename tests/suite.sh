# tests/suite.sh: `./run test`, sourced by ./run. Everything speaks TAP under prove.
#
#   ./run test            all of it
#   ./run test --quick    release build alone: no sanitizers, fuzzers or container

FUZZ_SECONDS=${SIGHTLINE_FUZZ_SECONDS:-30}
# A test that hangs fails, with what it started ended, and the rest goes on.
LIMIT_S=600
LIMIT_LONG_S=2400

# Runs every file; what failed beside others is tried once more with the machine for itself, since
# some tests bound times that a busy machine cannot hold. What fails then too fails the suite, at its end.
failures=
limit_s=$LIMIT_S

prove_files() { # preset jobs files...
    preset=$1
    jobs=$2
    shift 2
    limited="timeout -k 10 $limit_s"
    say "prove ($preset)"
    state=build/prove-$preset.state
    rm -f "$state"
    SIGHTLINE_BUILD=$PWD/build/$preset prove --timer -j "$jobs" --exec "$limited" --state=save --statefile="$state" "$@" && return 0
    say 'again, alone'
    SIGHTLINE_BUILD=$PWD/build/$preset prove --timer -v --exec "$limited" --state=failed --statefile="$state" && return 0
    failures="$failures $preset"
}

prove_with() { # preset files...
    preset=$1
    shift
    prove_files "$preset" "$(nproc)" "$@"
}

# Tests that measure time or memory need the machine for themselves.
prove_alone() { # preset files...
    preset=$1
    shift
    prove_files "$preset" 1 "$@"
}

suite() {
    run_suite "$@"
    [ -z "$failures" ] || fail "tests failed:$failures"
}

run_suite() {
    quick=
    [ "${1:-}" != --quick ] || quick=yes
    build_release
    # shellcheck disable=SC2086
    install_packages $TEST_PACKAGES
    footage >/dev/null

    prove_with release build/release/tests/*_test tests/web/*.t tests/integration/*.t tests/crash/*.t
    prove_alone release tests/alone/*.t
    [ -z "$quick" ] || return 0

    say 'building with address and undefined-behaviour sanitizers'
    build asan
    # Without detect_stack_use_after_return: gcc 12 lays its frames where 64-byte vectors may not lie.
    export ASAN_OPTIONS=detect_stack_use_after_return=0:strict_string_checks=1 UBSAN_OPTIONS=print_stacktrace=1
    prove_with asan build/asan/tests/*_test tests/integration/*.t
    say 'building with the thread sanitizer'
    build tsan
    export TSAN_OPTIONS=halt_on_error=1:suppressions=$PWD/tests/tsan.supp
    prove_with tsan build/tsan/tests/*_test tests/integration/server_load.t

    say "fuzzing, $FUZZ_SECONDS s each"
    build fuzz
    export SIGHTLINE_FUZZ_SECONDS=$FUZZ_SECONDS
    limit_s=$LIMIT_LONG_S
    prove_alone fuzz tests/fuzz/fuzz.t
    prove_alone release tests/long/*.t
}
