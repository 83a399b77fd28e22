#!/bin/sh
# The sandbox of the release build refuses what it should: sandbox.sh BUILD_DIR
exec "$1/golden/sandbox"
