# tests/demo.sh: `./run demo`, sourced by ./run. Plays Debian's vtest.avi as a camera with two drawn
# lines and a zone, and shows what is counted.

# 8080, or any free port when something listens there already (curl's 7: nobody does).
demo_port() {
    port=${SIGHTLINE_PORT:-8080}
    curl -s -o /dev/null --max-time 2 "http://127.0.0.1:$port/" && taken=0 || taken=$?
    if [ "$taken" = 7 ]; then echo "$port"; else echo 0; fi
}

demo_config() { # folder video model
    cat >"$1/sightline.yml" <<YAML
# Written by ./run demo. Change it while the server runs: it is read again at once.
http: {listen: 127.0.0.1, port: $(demo_port)}
data: $1/data
${3:+model: $3}
cameras:
  campus:
    ffmpeg:
      inputs:
        - path: $2
          roles: [detect]
    detect: {fps: 10}
    objects: {track: [person]}
    lines:
      path:
        coordinates: "0.4557,0.6736,0.4557,0.3212"
        directions: {a_to_b: to the junction, b_to_a: to the town}
      road:
        coordinates: "0.7682,0.2674,0.9245,0.3872"
        directions: {a_to_b: from the road, b_to_a: to the road}
    zones:
      junction:
        coordinates: "0.46,0.36,0.72,0.32,0.80,0.52,0.52,0.66"
YAML
}

# One line of text: the counts of every line and zone.
demo_counts() { # address
    curl -sf "$1/api/v1/counts" | jq -r '[.counters[] |
        if .kind == "line" then "\(.counter) \(.total.a_to_b)/\(.total.b_to_a)"
        else "\(.counter) \(.total.occupancy) inside" end] | join("   ")'
}

demo() {
    seconds=
    while [ $# -gt 0 ]; do
        case $1 in
        --for) [ $# -ge 2 ] || fail '--for needs a number of seconds'; seconds=$2; shift 2 ;;
        *) fail "demo: no option \"$1\"" ;;
        esac
    done
    build_release product
    # shellcheck disable=SC2086
    install_packages $DEMO_PACKAGES
    folder=$PWD/build/demo
    rm -rf "$folder"
    mkdir -p "$folder"
    model=$(find_model)
    [ -n "$model" ] || say 'no model found: the camera plays, but nothing is counted (set SIGHTLINE_MODEL=FILE.onnx)'
    demo_config "$folder" "$(footage)" "$model"
    build/release/bin/sightline serve -c "$folder/sightline.yml" >"$folder/out" 2>"$folder/log" &
    server=$!
    trap 'kill "$server" 2>/dev/null || true' EXIT
    trap 'exit 130' INT TERM
    demo_watch "$seconds"
}

demo_watch() { # seconds
    address=
    while [ -z "$address" ]; do
        kill -0 "$server" 2>/dev/null || { cat "$folder/log" >&2; fail 'the server did not start'; }
        address=$(sed -n 's/^Dashboard: //p' "$folder/out" | sed 's,/$,,')
        [ -n "$address" ] || sleep 0.1
    done
    say "dashboard: $address/   (Ctrl-C ends; log: build/demo/log)"
    started=$(date +%s)
    while [ -z "$1" ] || [ $(($(date +%s) - started)) -lt "$1" ]; do
        kill -0 "$server" 2>/dev/null || { tail -5 "$folder/log" >&2; fail 'the server has ended'; }
        counts=$(demo_counts "$address" || true)
        if [ -t 1 ]; then printf '\r%4s s   %s ' $(($(date +%s) - started)) "$counts"
        elif [ "$counts" != "${shown:-}" ]; then printf '%4s s   %s\n' $(($(date +%s) - started)) "$counts"; fi
        shown=$counts
        sleep 1
    done
    events=$(curl -sf "$address/api/v1/events?since=0&limit=1000" | jq '.events | length')
    printf '\nAfter %s s: %s   (%s events in the ledger, a_to_b/b_to_a)\n' "$1" "$(demo_counts "$address")" "$events"
    kill "$server"
    wait "$server" || fail 'the server ended with an error'
    trap - EXIT
    build/release/bin/sightline ledger verify --data "$folder/data"
}
