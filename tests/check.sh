# tests/check.sh: `./run check`, sourced by ./run: format, house rules, static analysis.

check() {
    # shellcheck disable=SC2086
    install_packages $BUILD_PACKAGES $CHECK_PACKAGES perl
    install_node
    prove tests/house/*.t
    say 'clang-tidy'
    [ -f build/release/build.ninja ] || cmake --preset release >&2
    build release # generated sources, and the dashboard's packages for its type check
    # Files of the build only: the tests are read for format and house rules.
    git ls-files 'config/*.c' 'gpu/*.c' 'storage/*.c' 'server/*.c' |
        xargs -P "$(nproc)" -n 1 clang-tidy -p build/release --quiet --extra-arg=-Wno-unknown-warning-option
    (cd build/release/web && npm run --silent check)
    say 'all is well'
}
