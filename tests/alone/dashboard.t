#!/bin/sh
# The dashboard in real Chromium against the real server.
command -v node >/dev/null || { echo '1..0 # SKIP no node'; exit 0; }
exec node "$(dirname "$0")/dashboard.mjs"
