#!/bin/sh
# The dashboard in a real browser against simulated cameras (see browser_test.mjs).
command -v node >/dev/null || { echo '1..0 # SKIP node is not installed'; exit 0; }
exec node "$(dirname "$0")/browser_test.mjs"
