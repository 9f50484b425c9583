#!/bin/sh
# Every libFuzzer target for SIGHTLINE_FUZZ_SECONDS, as many at once as there are processors: no
# crash, no sanitizer report, no input slower than 2 s, no more than 512 MiB.
set -u
seconds=${SIGHTLINE_FUZZ_SECONDS:-60}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# The memory bound is for what the code holds: not for what the sanitizer keeps of what was freed.
export ASAN_OPTIONS=quarantine_size_mb=32
run_one() { # target
    name=$(basename "$1")
    mkdir -p "$folder/$name"
    seeds=tests/fuzz/seeds/$name
    [ -d "$seeds" ] || seeds=
    # shellcheck disable=SC2086
    (cd "$folder" && exec "$1" -max_total_time="$seconds" -timeout=2 -rss_limit_mb=512 -print_final_stats=1 \
        "$folder/$name" ${seeds:+"$OLDPWD/$seeds"}) >"$folder/$name.log" 2>&1
    echo $? >"$folder/$name.rc"
}
jobs=0
count=0
for target in "$SIGHTLINE_BUILD"/fuzz/*_fuzz; do
    count=$((count + 1))
    run_one "$target" &
    jobs=$((jobs + 1))
    [ "$jobs" -lt "$(nproc)" ] || { wait; jobs=0; }
done
wait
echo "1..$count"
number=0
failed=0
for target in "$SIGHTLINE_BUILD"/fuzz/*_fuzz; do
    name=$(basename "$target")
    number=$((number + 1))
    inputs=$(sed -n 's/^stat::number_of_executed_units: *//p' "$folder/$name.log")
    if [ "$(cat "$folder/$name.rc")" = 0 ]; then
        echo "ok $number - $name: ${inputs:-?} inputs"
    else
        failed=1
        echo "not ok $number - $name"
        tail -60 "$folder/$name.log" | sed 's/^/# /'
    fi
done
exit $failed
