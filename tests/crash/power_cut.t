#!/bin/sh
# The ledger's disk after power cuts: tests/unit/ledger_crash_test.c says how.
exec "${SIGHTLINE_BUILD:-build/release}/tests/ledger_crash_test" power "${SIGHTLINE_POWER_CUTS:-500}"
