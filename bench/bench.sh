# bench/bench.sh: `./run bench [NAME] [--json]`, sourced by ./run. Each NAME_bench.c and NAME.bench is one
# measurement; without a NAME all run. Figures of one machine are ratios against a peer or a limit of the same run.

bench() {
    wanted=
    json=
    for argument in "$@"; do
        case $argument in
        --json) json=--json ;;
        -*) fail "bench: no option \"$argument\"" ;;
        *) wanted=$argument ;;
        esac
    done
    build_release product
    found=
    for source in bench/*_bench.c; do
        name=$(basename "$source" _bench.c)
        [ -z "$wanted" ] || [ "$wanted" = "$name" ] || continue
        [ ! -f "bench/$name.bench" ] || continue # that one runs it
        found=yes
        build release "${name}_bench"
        say "bench $name"
        "build/release/bench/${name}_bench" $json
    done
    for script in bench/*.bench; do
        [ -f "$script" ] || continue
        name=$(basename "$script" .bench)
        [ -z "$wanted" ] || [ "$wanted" = "$name" ] || continue
        found=yes
        [ ! -f "bench/${name}_bench.c" ] || build release "${name}_bench"
        say "bench $name"
        SIGHTLINE_BUILD=$PWD/build/release "$script" $json
    done
    [ -n "$found" ] || fail "bench: nothing is named \"$wanted\""
}
