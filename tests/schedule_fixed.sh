#!/usr/bin/env bash
# label: long, seconds: 19
# The schedules of schedule_test.c compiled for fixed dims, which gives other code than for symbols.
# usage: schedule_fixed.sh BUILD
exec "$1/tests/schedule_test" fixed
