#!/bin/sh
# The ledger alone, killed at random moments: tests/unit/ledger_crash_test.c says how.
exec "${SIGHTLINE_BUILD:-build/release}/tests/ledger_crash_test" kill "${SIGHTLINE_KILLS:-60}"
