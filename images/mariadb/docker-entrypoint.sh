#!/bin/bash
# Makes a database of an empty data folder, as the environment asks, then becomes the server.
#
#   MARIADB_ROOT_PASSWORD, MARIADB_ALLOW_EMPTY_ROOT_PASSWORD or MARIADB_RANDOM_ROOT_PASSWORD: one
#   must be set. MARIADB_ROOT_HOST (%), MARIADB_DATABASE, MARIADB_USER with MARIADB_PASSWORD.
#   Each may begin with MYSQL_ instead, and end in _FILE to name a file with the value.
#   /docker-entrypoint-initdb.d: *.sh, *.sql and *.sql.gz run in order of their names.
set -eu -o pipefail
shopt -s nullglob

DATA=/var/lib/mysql
SOCKET=/run/mysqld/init.sock
UNFINISHED=.being-initialized

note() { echo "$(date '+%Y-%m-%d %H:%M:%S%:z') [Note] [Entrypoint]: $*"; }
fail() { echo "$(date '+%Y-%m-%d %H:%M:%S%:z') [ERROR] [Entrypoint]: $*" >&2; exit 1; }

# Print the value of a setting under any of its names.
setting() {
    local name
    for name in "MARIADB_$1" "MYSQL_$1"; do
        if [ -n "${!name:-}" ]; then printf %s "${!name}"; return; fi
        name="${name}_FILE"
        if [ -n "${!name:-}" ]; then
            [ -r "${!name}" ] || fail "$name: ${!name}: cannot be read"
            printf %s "$(<"${!name}")"
            return
        fi
    done
}


# Print a text as an SQL name.
name() { printf '`%s`' "${1//\`/\`\`}"; }

read_settings() {
    root_password=$(setting ROOT_PASSWORD)
    root_host=$(setting ROOT_HOST)
    database=$(setting DATABASE)
    user=$(setting USER)
    password=$(setting PASSWORD)
    allow_empty=$(setting ALLOW_EMPTY_ROOT_PASSWORD)$(setting ALLOW_EMPTY_PASSWORD)
    random=$(setting RANDOM_ROOT_PASSWORD)
    if [ -z "$root_password$allow_empty$random" ]; then
        fail "Database is uninitialized and password option is not specified
	You need to specify one of MARIADB_ROOT_PASSWORD, MARIADB_ALLOW_EMPTY_ROOT_PASSWORD and MARIADB_RANDOM_ROOT_PASSWORD"
    fi
    if [ -n "$user" ] && [ -z "$password" ]; then
        fail "MARIADB_USER is set, but MARIADB_PASSWORD is not"
    fi
    if [ "$user" = root ]; then
        fail "MARIADB_USER must not be root: use MARIADB_ROOT_PASSWORD"
    fi
    if [ -n "$random" ] && [ -z "$root_password" ]; then
        root_password=$(od -An -N18 -tx1 /dev/urandom | tr -d ' \n')
        note "GENERATED ROOT PASSWORD: $root_password"
    fi
}

# Print the statements that make accounts and database. The root account has a password from the
# network and from this machine alike.
setup_sql() {
    local host=${root_host:-%}
    echo "SET @@SESSION.SQL_LOG_BIN=0, @@SESSION.SQL_MODE='NO_BACKSLASH_ESCAPES,TRADITIONAL';"
    # mariadb-install-db makes root accounts without a password for several addresses.
    echo "DELETE FROM mysql.global_priv WHERE User = '' OR User = 'root' AND Host <> 'localhost';"
    echo "FLUSH PRIVILEGES;"
    local secret=${root_password//\'/\'\'}
    echo "ALTER USER root@localhost IDENTIFIED VIA mysql_native_password USING PASSWORD('$secret');"
    if [ "$host" != localhost ]; then
        echo "CREATE USER root@'${host//\'/\'\'}' IDENTIFIED BY '$secret';"
        echo "GRANT ALL ON *.* TO root@'${host//\'/\'\'}' WITH GRANT OPTION;"
    fi
    [ -z "$database" ] || echo "CREATE DATABASE IF NOT EXISTS $(name "$database");"
    if [ -n "$user" ]; then
        echo "CREATE USER '${user//\'/\'\'}'@'%' IDENTIFIED BY '${password//\'/\'\'}';"
        [ -z "$database" ] ||
            echo "GRANT ALL ON $(name "${database//_/\\_}").* TO '${user//\'/\'\'}'@'%';"
    fi
}

# Run statements from standard input against the temporary server.
run_sql() {
    MYSQL_PWD=$root_password mariadb --no-defaults --protocol=socket --socket="$SOCKET" -uroot \
        --comments ${database:+--database="$database"}
}

run_scripts() {
    local file
    for file in /docker-entrypoint-initdb.d/*; do
        case "$file" in
        *.sh) note "running $file"; . "$file" ;;
        *.sql) note "running $file"; run_sql <"$file" ;;
        *.sql.gz) note "running $file"; gunzip -c "$file" | run_sql ;;
        *) note "ignoring $file" ;;
        esac
    done
}

initialize() {
    note "Initializing database files"
    # Killed half-way, it begins anew: a database without its accounts would be open to everyone.
    touch "$DATA/$UNFINISHED"
    (cd "$DATA" && rm -rf mysql performance_schema sys ./ib* ./aria_log* ./undo* ./ddl_recovery*)
    mariadb-install-db --no-defaults --datadir="$DATA" --skip-test-db --skip-log-bin \
        --auth-root-authentication-method=normal --skip-name-resolve --cross-bootstrap >/dev/null ||
        fail "mariadb-install-db failed"
    note "Database files initialized"
    local scripts=(/docker-entrypoint-initdb.d/*)
    note "Starting temporary server"
    "$@" --skip-networking --socket="$SOCKET" &
    local server=$! tries=0
    until mariadb --no-defaults --socket="$SOCKET" -uroot -e 'SELECT 1' >/dev/null 2>&1; do
        kill -0 "$server" 2>/dev/null || fail "Unable to start server."
        tries=$((tries + 1))
        [ "$tries" -lt 300 ] || fail "Unable to start server."
        sleep 0.1
    done
    setup_sql | mariadb --no-defaults --socket="$SOCKET" -uroot || fail "setting up accounts failed"
    [ ${#scripts[@]} = 0 ] || run_scripts
    kill "$server"
    wait "$server" || fail "Unable to shut down server."
    rm "$DATA/$UNFINISHED"
    note "MariaDB init process done. Ready for start up."
}

case "${1:-}" in
'' | -*) set -- mariadbd "$@" ;;
mysqld) shift; set -- mariadbd "$@" ;;
esac

if [ "$1" = mariadbd ]; then
    for word in "$@"; do
        # what only asks needs no database
        case "$word" in --help | --version | -V | -\? | --print-defaults) exec "$@" ;; esac
    done
    if [ "$(id -u)" = 0 ]; then
        mkdir -p "$DATA" /run/mysqld
        find "$DATA" /run/mysqld ! -user mysql -exec chown mysql: {} +
        exec setpriv --reuid=mysql --regid=mysql --clear-groups -- "$0" "$@"
    fi
    # A volume of its own file system may hold this folder already.
    if [ ! -d "$DATA/mysql" ] || [ -e "$DATA/$UNFINISHED" ]; then
        read_settings
        initialize "$@"
    fi
fi
exec "$@"
