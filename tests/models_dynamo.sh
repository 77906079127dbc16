#!/usr/bin/env bash
# label: full
# models.sh with the files of the other exporter.
# usage: models_dynamo.sh BUILD
here=$(dirname "$0")
exec bash "$here/models.sh" "$1" "$here"/models/*.dynamo/
