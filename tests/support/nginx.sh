#!/bin/bash
# SPDX-License-Identifier: GPL-3.0-or-later
#
# A private nginx that demands client certificates, with an application behind it: a service as Cardbroker meets it.

set -euo pipefail

usage() {
    cat <<'USAGE'
usage: tests/support/nginx.sh COMMAND DIR [ARGUMENT...]

  init DIR                     make the authorities and the server's certificate in DIR
  start DIR PORT               serve https://localhost:PORT (TLS 1.2 and 1.3), PORT+1 (1.2 only), PORT+2 (1.3 only)
  stop DIR                     stop what start started
  client DIR NAME ALGORITHM    make a key (NAME.key, PKCS#8; NAME.pub) and its certificate (NAME.der), all DER; ec-p256, ec-p384, rsa-2048, rsa-3072
  sign DIR CSR OUT [DAYS]      certify a PKCS#10 request (DER or PEM) as the client authority: OUT.pem and OUT.der

DIR holds server-ca.pem (whom a connector must trust), client-ca.pem and client-ca.key, and the logs.
Paths: /whoami, / and /login (who the service thinks you are), /download (8 MiB), /trickle (a slow body), and the application's: /slow, /echo,
/redirect, /cookie, /headers, /page.
USAGE
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd -P)
(($# >= 2)) || { usage >&2; exit 2; }
command=$1
mkdir -p "$2"
dir=$(cd "$2" && pwd -P)
shift 2

new_key() {
    case $1 in
        ec-p256) openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-256 ;;
        ec-p384) openssl genpkey -quiet -algorithm EC -pkeyopt ec_paramgen_curve:P-384 ;;
        rsa-2048) openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:2048 ;;
        rsa-3072) openssl genpkey -quiet -algorithm RSA -pkeyopt rsa_keygen_bits:3072 ;;
        *) echo "nginx.sh: unknown algorithm $1" >&2; exit 2 ;;
    esac
}

authority() {
    new_key ec-p256 > "$dir/$1.key"
    openssl req -x509 -new -key "$dir/$1.key" -subj "/O=Test service/CN=$2" -days 3650 -out "$dir/$1.pem" \
        -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
}

# server_certificate NAME SUBJECT-ALTERNATIVE-NAMES START END
server_certificate() {
    new_key ec-p256 > "$dir/$1.key"
    openssl req -new -key "$dir/$1.key" -subj "/CN=$1" -out "$dir/$1.csr"
    printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth\n' "$2" > "$dir/$1.ext"
    openssl x509 -req -in "$dir/$1.csr" -CA "$dir/server-ca.pem" -CAkey "$dir/server-ca.key" -days "$3" \
        -set_serial "0x$(openssl rand -hex 8)" -extfile "$dir/$1.ext" -out "$dir/$1.pem" 2> /dev/null
    cat "$dir/$1.pem" "$dir/$1.key" > "$dir/$1-both.pem"
}

sign() {
    local in=$1 out=$2 days=${3:-365} form=PEM
    grep -q -- '-----BEGIN' "$in" || form=DER
    printf 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nextendedKeyUsage=clientAuth\n' > "$out.ext"
    openssl x509 -req -inform "$form" -in "$in" -CA "$dir/client-ca.pem" -CAkey "$dir/client-ca.key" -days "$days" \
        -set_serial "0x$(openssl rand -hex 8)" -extfile "$out.ext" -out "$out.pem" 2> /dev/null
    rm -f "$out.ext"
    openssl x509 -in "$out.pem" -outform DER -out "$out.der"
}

client() {
    new_key "$2" > "$dir/$1.key.pem"
    openssl pkcs8 -topk8 -nocrypt -in "$dir/$1.key.pem" -outform DER -out "$dir/$1.key"
    openssl pkey -in "$dir/$1.key.pem" -pubout -outform DER -out "$dir/$1.pub"
    openssl req -new -key "$dir/$1.key.pem" -subj "/O=Test service/CN=$1" -out "$dir/$1.csr"
    sign "$dir/$1.csr" "$dir/$1"
    rm -f "$dir/$1.csr"
}

init() {
    umask 077
    authority server-ca "Test server authority"
    authority client-ca "Test client authority"
    server_certificate server DNS:localhost,DNS:service.test,IP:127.0.0.1 3650
    server_certificate other DNS:other.test 3650
    mkdir -p "$dir/www" "$dir/tmp"
    head -c $((8 * 1024 * 1024)) /dev/urandom > "$dir/www/download"
    chmod -R a+rX "$dir/www"
}

server_block() {
    cat <<BLOCK
    server {
        listen 127.0.0.1:$1 ssl;
        server_name localhost;
        ssl_protocols $2;
        include "$dir/service.inc";
    }
BLOCK
}

configure() {
    local port=$1
    cat > "$dir/service.inc" <<SERVICE
        ssl_certificate "$dir/server.pem";
        ssl_certificate_key "$dir/server.key";
        ssl_client_certificate "$dir/client-ca.pem";
        ssl_verify_client on;
        ssl_verify_depth 3;
        ssl_session_cache shared:$port:1m;
        ssl_session_tickets on;
        client_max_body_size 0;
        keepalive_timeout 600s;
        keepalive_requests 100000;
        default_type text/plain;
        set \$who "subject=\$ssl_client_s_dn\nserial=\$ssl_client_serial\nverify=\$ssl_client_verify\nprotocol=\$ssl_protocol\ncipher=\$ssl_cipher\nreused=\$ssl_session_reused\nconnection=\$connection\nhost=\$http_host\n";
        location = / { return 200 \$who; }
        location = /whoami { return 200 \$who; }
        location = /login { return 302 https://\$http_host/whoami; }
        location = /close { keepalive_timeout 0; return 200 \$who; }
        location = /download { root "$dir/www"; }
        location = /trickle { root "$dir/www"; limit_rate 1024; try_files /download =404; }
        location / {
            proxy_pass http://unix:$dir/application.sock;
            proxy_http_version 1.1;
            proxy_set_header Host \$http_host;
            proxy_set_header Connection "";
            proxy_set_header X-Client-Subject \$ssl_client_s_dn;
            proxy_request_buffering off;
            proxy_buffering off;
        }
SERVICE
    {
        cat <<MAIN
daemon off;
worker_processes 1;
pid "$dir/nginx.pid";
error_log "$dir/error.log" warn;
events { worker_connections 512; }
http {
    access_log "$dir/access.log";
    client_body_temp_path "$dir/tmp/body";
    proxy_temp_path "$dir/tmp/proxy";
    fastcgi_temp_path "$dir/tmp/fastcgi";
    uwsgi_temp_path "$dir/tmp/uwsgi";
    scgi_temp_path "$dir/tmp/scgi";
MAIN
        server_block "$port" "TLSv1.2 TLSv1.3"
        server_block $((port + 1)) TLSv1.2
        server_block $((port + 2)) TLSv1.3
        echo '}'
    } > "$dir/nginx.conf"
    if [[ $(id -u) -eq 0 ]]; then
        sed -i '1i user root;' "$dir/nginx.conf"
    fi
}

await() {
    local what=$1
    shift
    for _ in $(seq 100); do
        "$@" && return
        sleep 0.05
    done
    echo "nginx.sh: $what did not start; see $dir/error.log" >&2
    return 1
}

start() {
    local port=$1
    [[ -e $dir/server.pem ]] || init
    configure "$port"
    rm -f "$dir/application.sock"
    /usr/bin/python3 "$here/application.py" "$dir/application.sock" > "$dir/application.log" 2>&1 < /dev/null &
    echo $! > "$dir/application.pid"
    rm -f "$dir/nginx.pid"
    nginx -p "$dir" -c "$dir/nginx.conf" > "$dir/nginx.log" 2>&1 < /dev/null &
    echo $! > "$dir/started.pid"
    await "the application" test -S "$dir/application.sock"
    # Written when all ports are its own; before that it may listen on some, and end because of another.
    await nginx test -s "$dir/nginx.pid"
}

stop() {
    local pid state
    for file in started.pid application.pid; do
        [[ -e $dir/$file ]] || continue
        pid=$(< "$dir/$file")
        kill "$pid" 2> /dev/null || true
        # Ended, or waiting for somebody to notice that it ended.
        for _ in $(seq 100); do
            state=$(cut -d ' ' -f 3 "/proc/$pid/stat" 2> /dev/null) && [[ $state != Z ]] || break
            sleep 0.05
        done
        rm -f "$dir/$file"
    done
}

case $command in
    init) init ;;
    start) start "$@" ;;
    stop) stop ;;
    client) client "$@" ;;
    sign) sign "$@" ;;
    *) usage >&2; exit 2 ;;
esac
