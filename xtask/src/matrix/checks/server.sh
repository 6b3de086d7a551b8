# The agent server, as an image's config starts it: as the first process of a container. Beside it runs what looks at it.

at=http://127.0.0.1:8000

health() { /openhands/tools/bin/curl --noproxy '*' -fsS $at/health; }

# It answers, and runs a command that writes a file.
server_answers() {
  local began=$SECONDS
  # As long as launchers wait.
  soon health || soon health || soon health || soon health || { tail -n 5 "$1"; return 1; }
  echo "$((SECONDS - began))" >seconds
  # The directory of its own that a command starts in is the server's choice.
  /openhands/tools/bin/curl --noproxy '*' -fsS -H 'content-type: application/json' $at/api/bash/execute_bash_command \
    -d "{\"command\": \"echo \$((6*7)); echo new >$work/edited; git --version\"}" >answer
  grep -q '"stdout":"42\\ngit version' answer && [ "$(cat edited)" = new ] || { cat answer; return 1; }
}

conversation_ends_well() {
  mkdir -p conversation
  OPENHANDS_SUPPRESS_BANNER=1 LITELLM_LOCAL_MODEL_COST_MAP=True HOME=$work \
    /openhands/poetry/oh/bin/python -E /trap/conversation.py $at "$work/conversation"
}

# Those whose parents have gone are waited for by the first process.
no_zombies_stay() {
  [ "$(cat /proc/1/comm)" = tini ] || { echo "the first process is $(cat /proc/1/comm)"; return 1; }
  local count
  for count in 1 2 3; do
    /openhands/tools/bin/dash -c '/openhands/tools/bin/sleep 0.1 & exit 0'
  done
  sleep 0.2
  soon no_zombies || { echo "$(zombies) zombies"; return 1; }
}
zombies() { cat /proc/[0-9]*/stat 2>/dev/null | grep -c ') Z '; }
no_zombies() { [ "$(zombies)" = 0 ]; }

# All of it. The one argument is the server's log. Who reads what is printed measures how long the server then needs to stop.
look_at_the_server() {
  check server server_answers "$1"
  check conversation conversation_ends_well
  check zombies no_zombies_stay
  [ -s seconds ] && printf 'note seconds %s\n' "$(cat seconds)"
  cd /
  /openhands/tools/bin/rm -rf "$work" "$1"
  echo stopping
  kill -TERM 1
}
