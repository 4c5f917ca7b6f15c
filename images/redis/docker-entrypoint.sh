#!/bin/sh
# Options alone, or a configuration file, mean those of redis-server.
case "$1" in
-* | *.conf) set -- redis-server "$@" ;;
esac
if [ "$1" = redis-server ]; then
    if [ "$(id -u)" = 0 ]; then
        # /data may be a volume; Redis itself is not to run as root.
        find . ! -user redis -exec chown redis {} +
        exec setpriv --reuid=redis --regid=redis --clear-groups -- "$0" "$@"
    fi
    # A pod's clients come from other addresses, and no password is set unless the pod sets one.
    # The defaults come first: what the pod says replaces them.
    shift
    case "$1" in
    *.conf) conf=$1; shift; set -- "$conf" --protected-mode no "$@" ;;
    *) set -- --protected-mode no "$@" ;;
    esac
    set -- redis-server "$@"
fi
exec "$@"
