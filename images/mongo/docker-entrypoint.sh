#!/bin/sh
# Options alone mean options of mongod, as in the image this one stands for.
case "$1" in
-*) set -- mongod "$@" ;;
esac
exec "$@"
