# Python, and the packages that the agent server is made of.

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

# An environment of uv's, of the prefix's Python where the base has none, with a package that is made here.
uv_installs() {
  local package=package uv=/openhands/tools/bin/uv
  mkdir -p wheel/$package-1.dist-info && echo 'SAID = 42' >wheel/$package.py
  printf 'Metadata-Version: 2.1\nName: %s\nVersion: 1\n' $package >wheel/$package-1.dist-info/METADATA
  printf 'Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n' >wheel/$package-1.dist-info/WHEEL
  printf '%s,,\n' $package.py $package-1.dist-info/{METADATA,WHEEL,RECORD} >wheel/$package-1.dist-info/RECORD
  oh-python -c "import shutil; shutil.make_archive('$package', 'zip', 'wheel')" || return 1
  mv $package.zip $package-1-py3-none-any.whl
  "$uv" venv --offline --python /openhands/micromamba/bin/python3.13 venv || return 1
  "$uv" pip install --offline --python venv/bin/python ./$package-1-py3-none-any.whl || return 1
  [ "$(venv/bin/python -E -c 'import package; print(package.SAID)')" = 42 ]
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
said = session.execute(TerminalAction(command="echo $((6*7)) 'gr''üß⎮'"))
session.close()
assert "42 grüß⎮" in str(said), said
PY
}

# Whatever the base says: the terminal fails with any other character set.
characters_are_utf8() {
  local said
  said=$(/openhands/tools/bin/locale charmap 2>&1)
  [ "$said" = UTF-8 ] || { echo "$said"; return 1; }
}

# What the base's bundle of certificates trusts is trusted: here a company's own authority.
bundle_of_base_has_a_company() {
  local line
  [ -e /trap/authority.pem ] || return 1
  line=$(/openhands/tools/bin/sed -n 2p /trap/authority.pem)
  /openhands/tools/bin/grep -qsF -- "$line" /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt
}
company_is_trusted() {
  local at=https://127.0.0.1:18004 good=0 python=/openhands/poetry/oh/bin/python
  mkdir -p served && echo hello >served/hello
  oh-python - served <<'PY' 2>served.log &
import functools, http.server, ssl, sys
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain("/trap/server.pem", "/trap/server.key")
handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=sys.argv[1])
server = http.server.ThreadingHTTPServer(("127.0.0.1", 18004), handler)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
PY
  local server=$!
  soon /openhands/tools/bin/curl --noproxy '*' -ks $at/hello
  said() {
    local name=$1 said
    shift
    said=$("$@" 2>&1)
    case $said in
    *hello* | *'not found'*) ;;
    *) echo "$name: $said" | tail -n 1; good=1 ;;
    esac
  }
  said curl /openhands/tools/bin/curl --noproxy '*' -sS $at/hello
  # An answer that is no repository's, and not a complaint of the certificate. Where its helpers are, it may be told.
  said git /openhands/tools/bin/env -u GIT_EXEC_PATH /openhands/tools/bin/git ls-remote $at/nothing
  said oh-git oh-git ls-remote $at/nothing
  said urllib oh-python -c "import urllib.request; print(urllib.request.urlopen('$at/hello').read())"
  if [ -x $python ]; then
    said httpx $python -E -c "import httpx; print(httpx.get('$at/hello').text)"
    said requests $python -E -c "import requests; print(requests.get('$at/hello').text)"
  fi
  if [ -x /openhands/bin/oh-node ]; then
    said node oh-node -e "fetch('$at/hello').then(a => a.text()).then(console.log)"
  fi
  if [ -x /openhands/bin/oh-chromium ]; then
    said chromium oh-chromium --dump-dom $at/hello
  fi
  kill $server 2>/dev/null
  wait $server 2>/dev/null
  return $good
}
