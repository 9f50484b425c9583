# tests/check.sh: `./run check`, sourced by ./run: format, house rules, static analysis.
#
#   ./run check              all of it; of the sources, those that changed since they passed
#   ./run check FILE...      clang-tidy on these sources alone

check() {
    # shellcheck disable=SC2086
    install_packages $BUILD_PACKAGES $CHECK_PACKAGES perl
    [ -f build/release/build.ninja ] || cmake --preset release >&2
    say 'clang-tidy'
    build release onnx/onnx.pb-c.h # which sources include
    # The tests are read for format and house rules alone.
    if [ $# -gt 0 ]; then
        tests/tidy.py build/release "$@"
        return
    fi
    tests/tidy.py build/release
    say 'house rules'
    prove tests/house/*.t
    say 'scripts'
    # shellcheck disable=SC2046
    shellcheck --severity=warning --shell=sh run tests/*.sh bench/*.sh $(git grep -l '^#!/bin/sh' -- . ':!run')
    say 'the dashboard'
    install_node
    build release web/dashboard_assets.c # its packages, and its sources beside them
    (cd build/release/web && npm run --silent check)
    say 'all is well'
}
