#!/openhands/tools/bin/bash
# What a composed image has to be able to do, whatever its base. Prints a line for each check:
# `ok NAME`, or `FAIL NAME: the last words`. Needs nothing but the prefix and a directory to write.
set -u
for work in "${HOME:-/}" /tmp /dev/shm; do
  [ -d "$work" ] && (: >"$work/.checks") 2>/dev/null && break
done
work=$work/checks-$$
/openhands/tools/bin/mkdir -p "$work"
cd "$work" || exit 1
# The prefix's programs first: this script must not fail for what the environment does to the base's.
export PATH=/openhands/bin:/openhands/tools/bin:${PATH:-/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin}
export SHELL=/openhands/tools/bin/bash

check() {
  local name=$1 said
  shift
  if said=$("$@" 2>&1); then
    printf 'ok %s\n' "$name"
  else
    printf 'FAIL %s: %s\n' "$name" "$(printf %s "$said" | /openhands/tools/bin/tail -n 3 | /openhands/tools/bin/tr '\n' ' ')"
  fi
}

# Waits until a command succeeds, half a minute at most.
soon() {
  local count
  for ((count = 0; count < 300; count++)); do
    "$@" >/dev/null 2>&1 && return 0
    /openhands/tools/bin/sleep 0.1
  done
  "$@"
}

# What recipes leave out of packages (`drop`, `exclude`) is not what the server works with.
cuts_hurt_nothing() {
  local server=/openhands/poetry/oh/bin/python program
  OPENHANDS_SUPPRESS_BANNER=1 "$server" -E - <<'PY' || return 1
import io
import boto3, bs4, docx, litellm
from google.oauth2.credentials import Credentials
from googleapiclient.discovery import build
from PIL import Image
from reportlab.pdfgen.canvas import Canvas
session = boto3.Session("key", "secret", region_name="us-east-1")
for service in ("bedrock-runtime", "bedrock", "sts", "sso-oidc", "s3", "kms", "secretsmanager", "sagemaker-runtime"):
    session.client(service)
session.resource("s3")
build("gmail", "v1", credentials=Credentials("token"))
assert litellm.token_counter(model="gpt-4o", text="one two") == 2
assert litellm.token_counter(model="claude-3-5-sonnet-20241022", text="one two") > 0
for kind in ("PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"):
    file = io.BytesIO()
    Image.new("RGB", (4, 4)).save(file, kind)
    Image.open(file).load()
docx.Document().save(io.BytesIO())
canvas = Canvas(io.BytesIO())
canvas.drawString(10, 10, "text")
canvas.save()
assert bs4.BeautifulSoup("<p>a<b>c", "lxml").b.text == "c"
import anthropic, browser_use, fastmcp, google.genai, huggingface_hub, lmnr, mcp, sqlalchemy, tom_swe
import lmnr.opentelemetry_lib.tracing, litellm.caching.caching, openhands.workspace
import openhands.agent_server.persistence
PY
  for program in git-remote-https git-upload-pack git-receive-pack git-submodule git-sh-i18n--envsubst; do
    [ -x "/openhands/lib/git-core/$program" ] || { echo "there is no $program"; return 1; }
  done
}

bash_runs() { [ "$(oh-bash -c 'declare -A a=([x]=y); echo ${a[x]}')" = y ]; }

tmux_shows_unicode() {
  local tmux=(oh-tmux -S "$work/tmux.socket")
  # Only what stands there already is typed, so that what is looked for was printed.
  "${tmux[@]}" new-session -d -s one -x 80 -y 10 "printf '%s%s\n' '⎮' 'ü'; exec sleep 60" || return 1
  if soon eval '"${tmux[@]}" capture-pane -p -t one | grep -q "⎮ü"'; then
    "${tmux[@]}" kill-server
  else
    "${tmux[@]}" capture-pane -p -t one
    "${tmux[@]}" kill-server
    return 1
  fi
}

git_works() {
  export GIT_CONFIG_GLOBAL=$work/gitconfig
  oh-git init -q -b main one && cd one || return 1
  oh-git config --global user.name me && oh-git config --global user.email me@example.org
  printf '#!/openhands/tools/bin/dash\necho hooked >../hooked\n' >.git/hooks/post-commit
  chmod +x .git/hooks/post-commit
  echo text >file
  oh-git add file && oh-git commit -q -m first || return 1
  [ "$(cat ../hooked)" = hooked ] || { echo 'no hook ran'; return 1; }
  cd .. && oh-git clone -q "file://$work/one" two && [ "$(cat two/file)" = text ]
}

# The image's user has a line in /etc/passwd, which ssh and whoami ask for.
user_has_a_name() {
  [ -n "$(/openhands/tools/bin/whoami)" ] && /openhands/tools/bin/ssh -G example >/dev/null
}

# No network is there, so the helper is to say that nobody answers, and not that it is missing.
git_has_https() {
  local said
  said=$(oh-git ls-remote https://127.0.0.1:1/x 2>&1)
  case $said in
  *'Failed to connect'* | *"Couldn't connect"* | *'Could not connect'* | *'refused'*) ;;
  *) echo "$said"; return 1 ;;
  esac
}

curl_reads() {
  echo hello >hello
  [ "$(/openhands/tools/bin/curl -fsS "file://$work/hello")" = hello ] && /openhands/tools/bin/curl --version | grep -q https
}

python_works() {
  oh-python - <<'PY'
import concurrent.futures, ctypes, curses, lzma, multiprocessing, sqlite3, ssl, subprocess, sys, threading, zoneinfo
assert ssl.create_default_context().cert_store_stats()["x509_ca"] > 100
assert sqlite3.connect(":memory:").execute("select 6*7").fetchone() == (42,)
with concurrent.futures.ThreadPoolExecutor(4) as pool:
    assert sum(pool.map(abs, range(10))) == 45
assert subprocess.run([sys.executable, "-E", "-c", "print(1)"], capture_output=True, text=True, check=True).stdout == "1\n"
assert "ü".encode("utf-8").decode("utf-8") == "ü"
zoneinfo.ZoneInfo("Europe/Berlin")
PY
}

python_spawns() {
  printf '%s\n' 'import multiprocessing' 'def double(x): return 2 * x' \
    'if __name__ == "__main__":' \
    '    multiprocessing.set_start_method("spawn")' \
    '    with multiprocessing.Pool(2) as pool: assert pool.map(double, [1, 2]) == [2, 4]' >spawn.py
  oh-python spawn.py
}

wheels_load() {
  /openhands/poetry/oh/bin/python -E -c 'import cryptography.hazmat.bindings._rust, pydantic_core, tiktoken, httpx'
}

server_answers() {
  local port=18000 at=http://127.0.0.1:18000 began=$SECONDS
  mkdir -p server && cd server || return 1
  # As launchers call it, but where the environment would break any Python.
  local start=(/agent-server/.venv/bin/python -m openhands.agent_server)
  [ -z "${PYTHONHOME:-}" ] && [ -n "${HOME:-}" ] || start=(/usr/local/bin/openhands-agent-server)
  "${start[@]}" --host 127.0.0.1 --port $port >../server.log 2>&1 &
  local server=$!
  local curl=(/openhands/tools/bin/curl --noproxy '*' -fsS -H 'content-type: application/json')
  local good=1
  if soon "${curl[@]}" $at/health; then
    echo "$((SECONDS - began))" >../seconds
    "${curl[@]}" $at/api/bash/execute_bash_command -d '{"command": "echo $((6*7)); echo new > edited; git --version"}' >answer
    grep -q '"stdout":"42\\ngit version' answer && [ "$(cat edited answer | grep -c .)" -ge 1 ] && good=0
    [ $good = 0 ] || cat answer
  else
    tail -n 5 ../server.log
  fi
  kill $server 2>/dev/null
  wait $server 2>/dev/null
  return $good
}

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

# A terminal as the agent's tools open it, in tmux.
terminal_works() {
  # The agent server's wrapper sees to both, for what the server starts.
  [ -w /tmp ] || export TMUX_TMPDIR=$work
  HOME=${HOME:-$work} /openhands/poetry/oh/bin/python -E - <<'PY'
import os, tempfile
from openhands.tools.terminal.terminal import create_terminal_session
session = create_terminal_session(work_dir=os.getcwd(), terminal_type="tmux")
session.initialize()
from openhands.tools.terminal.definition import TerminalAction
said = session.execute(TerminalAction(command="echo $((6*7))"))
session.close()
assert "42" in str(said), said
PY
}

chromium_draws() {
  printf '<html><body style="font-family:sans-serif"><h1>Hell\xc3\xb6</h1><button id=b onclick="document.title=1">x</button><pre>mono</pre></body></html>' >page.html
  oh-chromium --screenshot="$work/page.png" --window-size=400,300 "file://$work/page.html" >chromium.log 2>&1 || { tail -n 3 chromium.log; return 1; }
  sha256sum page.png | cut -c1-16 >picture
}

# A client as small as it gets: the screen shows a page, and the page gets what is typed.
vnc_shows() {
  cat >vnc.html <<'HTML'
<body style="background:#0ac81e" onkeydown="document.body.style.background='#c80a1e'"></body>
HTML
  oh-vnc -rfbport 18003 -geometry 400x300 -- "file://$work/vnc.html" >vnc.log 2>&1 &
  local screen=$! good=1
  oh-python - <<'PY' && good=0
import socket, struct, time
for _ in range(300):
    try:
        screen = socket.create_connection(("127.0.0.1", 18003), timeout=30)
        break
    except OSError:
        time.sleep(0.1)
def read(count):
    data = b""
    while len(data) < count:
        data += screen.recv(count - len(data)) or exit("the server has gone")
    return data
def send(layout, *values):
    screen.sendall(struct.pack(">" + layout, *values))
read(12)
screen.sendall(b"RFB 003.008\n")
read(read(1)[0])
screen.sendall(b"\1")
assert read(4) == bytes(4)
screen.sendall(b"\1")
width, height = struct.unpack(">HH", read(4))
read(16)
read(struct.unpack(">I", read(4))[0])
send("BxxxBBBBHHHBBBxxx", 0, 32, 24, 0, 1, 255, 255, 255, 16, 8, 0)
send("BxHi", 2, 1, 0)
def colours():
    send("BBHHHH", 3, 0, 0, 0, width, height)
    found, left = set(), width * height
    while left > 0:
        kind = read(1)[0]
        if kind == 0:
            for _ in range(struct.unpack(">xH", read(3))[0]):
                _, _, wide, high, _ = struct.unpack(">HHHHi", read(12))
                data = read(wide * high * 4)
                found.update(data[at : at + 3] for at in range(0, len(data), 4))
                left -= wide * high
        elif kind == 3:
            read(struct.unpack(">3xI", read(7))[0])
    return found
def soon(colour):
    for _ in range(60):
        if colour in colours():
            return
        time.sleep(0.5)
    exit(f"the screen never shows {colour}")
soon(bytes([30, 200, 10]))
for buttons in (0, 1, 0):
    send("BBHH", 5, buttons, width // 2, height - 30)
for down in (1, 0):
    send("BBxxI", 4, down, ord("a"))
soon(bytes([30, 10, 200]))
PY
  [ $good = 0 ] || tail -n 3 vnc.log
  kill $screen 2>/dev/null
  wait $screen 2>/dev/null
  return $good
}

playwright_clicks() {
  oh-playwright - "file://$work/page.html" 2>/dev/null <<'PY'
import sys
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    browser = playwright.chromium.launch()
    page = browser.new_page()
    page.goto(sys.argv[1])
    page.click("#b")
    assert page.title() == "1", page.title()
    browser.close()
PY
}

jupyter_computes() {
  oh-jupyter kernelgateway --KernelGatewayApp.port=18001 >jupyter.log 2>&1 &
  local server=$! good=1
  if soon /openhands/tools/bin/curl --noproxy '*' -fsS http://127.0.0.1:18001/api; then
    /openhands/poetry/jupyter/bin/python -E - <<'PY' && good=0
import json, urllib.request, uuid, websocket
opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
kernel = json.load(opener.open(urllib.request.Request("http://127.0.0.1:18001/api/kernels", data=b"{}")))
socket = websocket.create_connection(f"ws://127.0.0.1:18001/api/kernels/{kernel['id']}/channels", timeout=60)
header = {"msg_id": uuid.uuid4().hex, "username": "", "session": uuid.uuid4().hex, "msg_type": "execute_request", "version": "5.0"}
content = {"code": "print(6*7)", "silent": False, "store_history": False, "user_expressions": {}, "allow_stdin": False}
socket.send(json.dumps({"header": header, "parent_header": {}, "metadata": {}, "content": content, "channel": "shell"}))
while True:
    message = json.loads(socket.recv())
    if message["msg_type"] == "stream":
        assert message["content"]["text"] == "42\n", message
        break
PY
  else
    tail -n 3 jupyter.log
  fi
  kill $server 2>/dev/null
  wait $server 2>/dev/null
  return $good
}

# The page of VS Code's server, as a person would use it: a terminal is opened, and runs something.
vscode_serves() {
  local at=http://127.0.0.1:18002 good=1
  /openhands/.openvscode-server/bin/openvscode-server --host 127.0.0.1 --port 18002 \
    --connection-token secret --disable-workspace-trust >vscode.log 2>&1 &
  local server=$!
  if soon /openhands/tools/bin/curl --noproxy '*' -fsS $at/version; then
    good=0
    if [ -x /openhands/bin/oh-playwright ]; then
      oh-playwright - "$at/?tkn=secret&folder=$work" "$work/typed" <<'PY' 2>vscode-page.log || good=1
import os, sys, time
from playwright.sync_api import sync_playwright
with sync_playwright() as playwright:
    browser = playwright.chromium.launch()
    page = browser.new_page()
    page.goto(sys.argv[1])
    page.wait_for_selector(".monaco-workbench .statusbar", timeout=60000)
    page.keyboard.press("Control+Backquote")
    page.wait_for_selector(".terminal-wrapper.active .xterm-screen", timeout=60000)
    for _ in range(30):
        # The page of welcome takes the keyboard when it comes.
        page.click(".terminal-wrapper.active .xterm-screen")
        page.keyboard.type(f"echo $((6*7)) > {sys.argv[2]}\n")
        time.sleep(2)
        if os.path.exists(sys.argv[2]):
            break
    assert open(sys.argv[2]).read() == "42\n"
    browser.close()
PY
      [ $good = 0 ] || tail -n 3 vscode-page.log
    fi
  else
    tail -n 3 vscode.log
  fi
  kill $server 2>/dev/null
  wait $server 2>/dev/null
  return $good
}

# Nothing of the base is mapped into programs of the prefix.
nothing_foreign_mapped() {
  local maps
  for maps in "$(cat_of_prefix)" "$(/openhands/poetry/oh/bin/python -E -c 'import ssl, sqlite3; print(open("/proc/self/maps").read())' 2>/dev/null)"; do
    if printf '%s\n' "$maps" | grep -E ' /' | grep -v ' /openhands/' | grep -v '/dev/shm\|(deleted)\|/memfd'; then
      return 1
    fi
  done
}
cat_of_prefix() { /openhands/tools/bin/cat /proc/self/maps; }

check bash bash_runs
check tmux tmux_shows_unicode
check git git_works
check git-https git_has_https
check curl curl_reads
check maps nothing_foreign_mapped
if [ -x /openhands/bin/oh-python ]; then
  check python python_works
  check spawn python_spawns
fi
if [ -x /openhands/bin/oh-agent-server ]; then
  check wheels wheels_load
  check cuts cuts_hurt_nothing
  check server server_answers
  check terminal terminal_works
  # Its contract has a user of its own.
  check user user_has_a_name
fi
# It writes to /tmp by that name, and says so with its last words.
[ -x /openhands/poetry/openhands-ai/bin/python ] && [ -w /tmp ] && check v0 server_of_v0
[ -x /openhands/bin/oh-chromium ] && check chromium chromium_draws
# Its server has files in /tmp, by that name.
[ -x /openhands/bin/oh-vnc ] && [ -x /openhands/bin/oh-python ] && [ -w /tmp ] && check vnc vnc_shows
[ -x /openhands/bin/oh-playwright ] && check playwright playwright_clicks
[ -x /openhands/bin/oh-jupyter ] && check jupyter jupyter_computes
[ -x /openhands/bin/oh-vscode ] && check vscode vscode_serves
[ -s picture ] && printf 'note picture %s\n' "$(cat picture)"
[ -s seconds ] && printf 'note seconds %s\n' "$(cat seconds)"
[ -s seconds-v0 ] && printf 'note seconds-v0 %s\n' "$(cat seconds-v0)"
cd /
/openhands/tools/bin/rm -rf "$work"
