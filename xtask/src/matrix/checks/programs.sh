# Programs with pages: the browser, notebooks, VS Code.

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
# It may come in pieces.
said = ""
while said != "42\n":
    message = json.loads(socket.recv())
    if message["msg_type"] == "stream":
        said += message["content"]["text"]
        assert "42\n".startswith(said), message
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
