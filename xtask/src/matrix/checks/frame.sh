# What checks have in common: a directory of their own to work in, `work`, and how what they come to is said.
. "${BASH_SOURCE[0]%/*}/place.sh"
work=$place/checks-$$
/openhands/tools/bin/mkdir -p "$work"
cd "$work" || exit 1
# The prefix's programs first: checks must not fail for what the environment does to the base's.
export PATH=/openhands/bin:/openhands/tools/bin:${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
export SHELL=/openhands/tools/bin/bash

# Prints `ok NAME`, or `FAIL NAME: the last words`.
check() {
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then
    printf 'ok %s\n' "$name"
  else
    printf 'FAIL %s: %s\n' "$name" "$(printf %s "$said" | /openhands/tools/bin/tail -n 3 | /openhands/tools/bin/tr '\n' ' ')"
  fi
}

# Waits until a command succeeds, half a minute at most; where programs are run by qemu, `SLOWER` times that.
soon() {
  local count
  for ((count = 0; count < 300; count++)); do
    "$@" >/dev/null 2>&1 && return 0
    # Tenths of a second.
    /openhands/tools/bin/sleep "${SLOWER:-1}e-1"
  done
  "$@"
}
