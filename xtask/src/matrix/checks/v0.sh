# OpenHands V0.

# The action execution server of OpenHands V0, started by its launchers' own command; then what they ask
# of it: a command, a file that is written, edited and read, and a cell of a notebook.
server_of_v0() {
  local port=18003 began=$SECONDS good=1 workspace=$work/workspace name=root plugins=(agent_skills)
  # Container runtimes write it, by which the notebook's kernel is found.
  [ -e /etc/hosts ] || echo '127.0.0.1 localhost' 2>/dev/null >/etc/hosts
  grep -qs localhost /etc/hosts && plugins+=(jupyter)
  # The server makes it for root and for users that it adds; contracts make it in images.
  mkdir -p "$workspace"
  (
    # As root it works as root. Others stay who they are, which it is told like this.
    [ "$(id -u)" = 0 ] || { name=me && export USER=me SU_TO_USER=false; }
    export SESSION_API_KEY=secret
    [ ! -d /openhands/code ] || cd /openhands/code
    exec /openhands/micromamba/bin/micromamba run -n openhands poetry run python -u \
      -m openhands.runtime.action_execution_server $port --working-dir "$workspace" \
      --plugins "${plugins[@]}" --username $name --user-id "$(id -u)" --no-enable-browser
  ) >v0.log 2>&1 &
  local server=$! curl=(/openhands/tools/bin/curl --noproxy '*' -fsS -H 'content-type: application/json')
  act() { "${curl[@]}" -H 'X-Session-API-Key: secret' http://127.0.0.1:$port/execute_action -d "{\"action\": $1}"; }
  # What a cell prints comes by another way than its end, and the server does not always wait for it.
  cell() { act '{"action": "run_ipython", "args": {"code": "print(6*7)"}}' | grep -q '"content":"42'; }
  local count
  for ((count = 0; count < 4; count++)); do
    kill -0 $server && soon "${curl[@]}" http://127.0.0.1:$port/alive && break
  done 2>/dev/null
  echo "$((SECONDS - began))" >seconds-v0
  {
    ! "${curl[@]}" http://127.0.0.1:$port/execute_action -d '{"action": {"action": "run", "args": {"command": "id"}}}' 2>/dev/null &&
      act '{"action": "run", "args": {"command": "echo $((6*7)); pwd"}}' | grep -q "42.n$workspace" &&
      act "{\"action\": \"write\", \"args\": {\"path\": \"$workspace/file\", \"content\": \"one\"}}" >/dev/null &&
      act "{\"action\": \"edit\", \"args\": {\"path\": \"$workspace/file\", \"command\": \"str_replace\", \"old_str\": \"one\", \"new_str\": \"two\", \"impl_source\": \"oh_aci\"}}" | grep -q 'has been edited' &&
      act "{\"action\": \"read\", \"args\": {\"path\": \"$workspace/file\"}}" | grep -q '"content":"two.n"' &&
      { [ "${#plugins[@]}" = 1 ] || cell || cell || cell; } && good=0
  } || tail -n 5 v0.log
  kill $server 2>/dev/null
  wait $server 2>/dev/null
  return $good
}
