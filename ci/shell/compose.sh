#!/bin/sh
# Composes an image in any CI that has a shell, such as Jenkins. What to do is in variables; those that hold
# lists have one item in each line.
#
#   OHOCI_BASE       the base image
#   OHOCI_DEPS       deps images whose layers and settings are added
#   OHOCI_LAYERS     files and directories that become layers, as PATH[:DEST]
#   OHOCI_PUSH       where the image goes
#   OHOCI_ENV        variables to set, as KEY=VALUE
#   OHOCI_LABELS     labels to set, as KEY=VALUE
#   OHOCI_PLATFORMS  platforms; several make an index
#   OHOCI_CONTRACT   auto, v0 or v1: what OpenHands' launchers take for granted
#   OHOCI_ARGS       further flags of `ohoci compose`, one in each line
#
# Credentials are taken where `ohoci` finds them (DOCKER_AUTH_CONFIG, DOCKER_CONFIG, helpers), or from
#
#   OHOCI_REGISTRY, OHOCI_USERNAME, OHOCI_PASSWORD
#
# which are stored in a file that is removed at the end. Standard output is the digest reference;
# OHOCI_JSON, OHOCI_DIGEST_FILE and OHOCI_SUMMARY name files for the whole report, the digest and Markdown.
set -eu

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Adds a flag for each line of a list to the positional parameters, whatever is in the lines.
set -- compose "--base=${OHOCI_BASE:?names the base image}"
newline='
'
add() {
  rest=$2$newline
  while [ -n "$rest" ]; do
    item=${rest%%"$newline"*}
    rest=${rest#*"$newline"}
    [ -z "$item" ] || printf '%s\n' "$1$item" >>"$work/arguments"
  done
}
: >"$work/arguments"
add --deps= "${OHOCI_DEPS:-}"
add --layer= "${OHOCI_LAYERS:-}"
add --push= "${OHOCI_PUSH:-}"
add --env= "${OHOCI_ENV:-}"
add --label= "${OHOCI_LABELS:-}"
add --platform= "${OHOCI_PLATFORMS:-}"
add --contract= "${OHOCI_CONTRACT:-}"
add '' "${OHOCI_ARGS:-}"
while IFS= read -r argument; do
  set -- "$@" "$argument"
done <"$work/arguments"

if [ -n "${OHOCI_PASSWORD:-}" ]; then
  DOCKER_CONFIG=$work/docker
  export DOCKER_CONFIG
  mkdir -m 700 "$DOCKER_CONFIG"
  printf '%s' "$OHOCI_PASSWORD" |
    ohoci login --username "${OHOCI_USERNAME:?names the user}" --password-stdin \
      "${OHOCI_REGISTRY:?names the registry}" >&2
fi

ohoci "$@" --format=json --digest-file="$work/digest" >"$work/report.json"

# The report is printed with two blanks before each field of its own.
field() { sed -n "s/^  \"$1\": \"\\{0,1\\}\\([^\",]*\\)\"\\{0,1\\},\\{0,1\\}\$/\\1/p" "$work/report.json" | head -n 1; }
reference=$(field reference)
printf '%s\n' "$reference"
[ -z "${OHOCI_JSON:-}" ] || cp "$work/report.json" "$OHOCI_JSON"
[ -z "${OHOCI_DIGEST_FILE:-}" ] || cp "$work/digest" "$OHOCI_DIGEST_FILE"
if [ -n "${OHOCI_SUMMARY:-}" ]; then
  {
    printf '### %s\n\n| | |\n|---|---|\n' "$(field status): composed image"
    printf '| image | `%s` |\n| digest | `%s` |\n' "$reference" "$(cat "$work/digest")"
    printf '| base | `%s` |\n| sent | %s bytes |\n| time | %s ms |\n' \
      "$OHOCI_BASE" "$(field bytesUp)" "$(field elapsedMs)"
  } >>"$OHOCI_SUMMARY"
fi
