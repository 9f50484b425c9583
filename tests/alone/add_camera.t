#!/bin/sh
# A camera is found on the network and added in the dashboard, in real Chromium, with the real server and a simulated
# ONVIF camera with a real RTSP stream. All of it in a network namespace of its own: the question goes to everybody.
command -v node >/dev/null || { echo '1..0 # SKIP no node'; exit 0; }
unshare -n true 2>/dev/null || { echo '1..0 # SKIP needs the right to make a network namespace'; exit 0; }
command -v ip >/dev/null || { echo '1..0 # SKIP no iproute2'; exit 0; }
exec unshare -n sh -c 'ip link set lo up && ip link add scan type veth peer name other && ip link set other up && ip address add 10.77.0.1/24 dev scan &&
    ip link set scan up && exec node "$1"' sh "$(dirname "$0")/add_camera.mjs"
