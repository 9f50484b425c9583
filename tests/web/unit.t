#!/bin/sh
# The dashboard's pure modules under node's test runner (see unit.mjs).
command -v node >/dev/null || { echo '1..0 # SKIP node is not installed'; exit 0; }
exec node "$(dirname "$0")/unit.mjs"
