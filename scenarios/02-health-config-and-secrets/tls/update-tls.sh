#!/bin/sh
# Make an authority (ca.pem) and a certificate signed by it (cert.pem), valid for 30 days. Nothing
# is done while the present ones are good for another day.
set -eu
cd "$(dirname "$0")"

if openssl x509 -checkend 86400 -noout -in cert.pem >/dev/null 2>&1 && [ -s key.pem ] && [ -s ca.pem ]; then
    exit 0
fi
umask 077
openssl req -x509 -newkey rsa:2048 -nodes -sha256 -days 30 -subj "/CN=netlab lesson authority" \
    -keyout ca-key.pem -out ca.pem 2>/dev/null
openssl req -newkey rsa:2048 -nodes -sha256 -subj "/CN=monolith" \
    -keyout key.pem -out cert.csr 2>/dev/null
openssl x509 -req -sha256 -days 30 -in cert.csr -CA ca.pem -CAkey ca-key.pem -set_serial 1 \
    -extfile ssl-extensions-x509.cnf -extensions v3_ca -out cert.pem 2>/dev/null
rm -f cert.csr
