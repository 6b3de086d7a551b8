# The ACP command lines, and the Node.js that they come with.

# Where upstream's images have them, as far as the image has that contract.
npm_is_at_hand() {
  local at
  for at in /openhands/acp-node /acp-node; do
    [ -e $at ] || continue
    $at/bin/npm --version && $at/bin/npx --version || return 1
    [ "$($at/bin/node -p '6*7')" = 42 ] || return 1
  done
}

# As the agent server starts them: by their names, which are found behind the base's.
acp_holds_a_conversation() {
  local place=$work/$1
  mkdir -p "$place"
  PATH=${PATH//"/openhands/tools/bin:"/}:/openhands/tools/bin oh-python /trap/acp_conversation.py "$1" "$place"
}
