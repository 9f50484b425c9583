# tests/check.sh: `./run check`, sourced by ./run: format, house rules, static analysis.

check() {
    # shellcheck disable=SC2086
    install_packages $BUILD_PACKAGES $CHECK_PACKAGES perl
    prove tests/house/*.t
    say 'clang-tidy'
    [ -f build/release/build.ninja ] || cmake --preset release >&2
    build release onnx_sources
    # Files of the build only: the tests are read for format and house rules.
    git ls-files 'config/*.c' 'gpu/*.c' 'storage/*.c' 'server/*.c' |
        xargs -P "$(nproc)" -n 4 clang-tidy -p build/release --quiet
    (cd web && npm run --silent check)
    say 'all is well'
}
