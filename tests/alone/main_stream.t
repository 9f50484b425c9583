#!/bin/sh
# A camera of two streams in real Chromium, against the real server and real RTSP servers.
command -v node >/dev/null || { echo '1..0 # SKIP no node'; exit 0; }
exec node "$(dirname "$0")/main_stream.mjs"
