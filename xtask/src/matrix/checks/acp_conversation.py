"""One of the ACP command lines, as a client of the Agent Client Protocol holds a conversation with it. Its model is made up
here, in the protocol that it speaks with models: asked first, it calls the agent's shell, and then it says what the client
waits for. What it asked for has to be done, and be told to it."""

import http.server
import json
import os
import queue
import subprocess
import sys
import threading
import time

name, directory = sys.argv[1:]
SAID = "It is written, grüß⎮."
written = os.path.join(directory, "said")
COMMAND = f"printf '%s\\n' \"gr\"'üß⎮' > {written}; cat {written}"
asked = []


def events(*documents):
    """What servers send, an event for each document: named by its type, where it has one."""
    text = ""
    for document in documents:
        if "type" in document:
            text += f"event: {document['type']}\n"
        text += f"data: {json.dumps(document)}\n\n"
    return text.encode()


def tools_of(question):
    return {tool.get("name"): tool for tool in question.get("tools", [])}


def messages(question):
    """Anthropic's messages."""
    call = "Bash" in tools_of(question) and "tool_result" not in json.dumps(question["messages"])
    start = {"id": "msg_1", "type": "message", "role": "assistant", "model": question["model"], "content": []}
    start |= {"stop_reason": None, "stop_sequence": None, "usage": {"input_tokens": 1, "output_tokens": 1}}
    if call:
        block = {"type": "tool_use", "id": "toolu_1", "name": "Bash", "input": {}}
        typed = {"command": COMMAND, "description": "Write it down"}
        delta = {"type": "input_json_delta", "partial_json": json.dumps(typed)}
    else:
        block = {"type": "text", "text": ""}
        delta = {"type": "text_delta", "text": SAID}
    end = {"stop_reason": "tool_use" if call else "end_turn", "stop_sequence": None}
    if not question.get("stream"):
        whole = dict(block, input=typed) if call else {"type": "text", "text": SAID}
        return "application/json", json.dumps(start | end | {"content": [whole]}).encode()
    return "text/event-stream", events(
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": end, "usage": {"output_tokens": 1}},
        {"type": "message_stop"},
    )


def responses(question):
    """OpenAI's responses."""
    is_told = any(item.get("type") == "function_call_output" for item in question["input"])
    names = {"exec_command": {"cmd": COMMAND}, "shell_command": {"command": COMMAND}}
    name = next((name for name in names if name in tools_of(question) and not is_told), None)
    identity = f"item_{len(asked)}"
    if name:
        item = {"type": "function_call", "name": name, "arguments": json.dumps(names[name]), "call_id": "call_1"}
        pieces = []
    else:
        item = {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": SAID}]}
        delta = {"type": "response.output_text.delta", "item_id": identity, "output_index": 0, "content_index": 0}
        added = item | {"id": identity, "content": []}
        pieces = [{"type": "response.output_item.added", "output_index": 0, "item": added}, delta | {"delta": SAID}]
    usage = {"input_tokens": 1, "input_tokens_details": None, "output_tokens": 1, "output_tokens_details": None}
    whole = {"id": f"resp_{len(asked)}", "usage": usage | {"total_tokens": 2}}
    return "text/event-stream", events(
        {"type": "response.created", "response": {"id": whole["id"]}},
        *pieces,
        {"type": "response.output_item.done", "output_index": 0, "item": item | {"id": identity}},
        {"type": "response.completed", "response": whole},
    )


def generate(question):
    """Gemini's content."""
    declared = [one["name"] for tool in question.get("tools", []) for one in tool.get("functionDeclarations", [])]
    if "run_shell_command" in declared and "functionResponse" not in json.dumps(question["contents"]):
        part = {"functionCall": {"name": "run_shell_command", "args": {"command": COMMAND}}}
    else:
        part = {"text": SAID}
    candidate = {"content": {"role": "model", "parts": [part]}, "finishReason": "STOP", "index": 0}
    usage = {"promptTokenCount": 1, "candidatesTokenCount": 1, "totalTokenCount": 2}
    return "text/event-stream", events({"candidates": [candidate], "usageMetadata": usage})


class Model(http.server.BaseHTTPRequestHandler):
    """Answers what the three of them ask."""

    protocol_version = "HTTP/1.1"

    def answer(self, status, kind, body):
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(404, "application/json", b'{"error": {"message": "nothing is here"}}')

    def do_HEAD(self):
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers.get("content-length") or 0)) or b"{}")
        path = self.path.partition("?")[0]
        for ending, speak in (("/messages", messages), ("/responses", responses), (":streamGenerateContent", generate)):
            if path.endswith(ending):
                asked.append(question)
                return self.answer(200, *speak(question))
        return self.do_GET()

    def log_message(self, *_):
        pass


model = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=model.serve_forever, daemon=True).start()
at = f"http://127.0.0.1:{model.server_port}"

environment = dict(os.environ, NO_PROXY="127.0.0.1", no_proxy="127.0.0.1")
home = os.path.join(directory, "home")
os.makedirs(os.path.join(home, ".codex"), exist_ok=True)
method = None
if name == "claude-agent-acp":
    command = [name]
    environment |= {"ANTHROPIC_BASE_URL": at, "ANTHROPIC_API_KEY": "none", "HOME": home}
elif name == "codex-acp":
    command = [name]
    environment |= {"CODEX_HOME": os.path.join(home, ".codex"), "MADE_UP_KEY": "none", "HOME": home}
    with open(os.path.join(home, ".codex/config.toml"), "w", encoding="utf-8") as file:
        file.write(
            'model = "made-up"\nmodel_provider = "made-up"\napproval_policy = "never"\n'
            'sandbox_mode = "danger-full-access"\n'
            f'[model_providers.made-up]\nname = "made-up"\nbase_url = "{at}/v1"\nenv_key = "MADE_UP_KEY"\n'
            'wire_api = "responses"\n'
        )
else:
    command = [name, "--acp"]
    environment |= {"GOOGLE_GEMINI_BASE_URL": at, "GEMINI_API_KEY": "none", "HOME": home}
    method = "gemini-api-key"

log = open(os.path.join(directory, "log"), "w+", encoding="utf-8", errors="replace")
agent = subprocess.Popen(
    command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=environment, cwd=directory, text=True, encoding="utf-8"
)
lines = queue.Queue()


def read():
    for line in agent.stdout:
        lines.put(line)
    lines.put(None)


threading.Thread(target=read, daemon=True).start()
spoken = []


def send(message):
    agent.stdin.write(json.dumps({"jsonrpc": "2.0"} | message) + "\n")
    agent.stdin.flush()


def failed(why):
    agent.kill()
    log.seek(0)
    sys.exit(f"{why} {log.read()[-300:]}")


def ask(identity, method, parameters):
    """The result of a request; what the agent asks for meanwhile is answered, and what it says is kept."""
    send({"id": identity, "method": method, "params": parameters})
    until = time.monotonic() + 180
    while True:
        try:
            line = lines.get(timeout=max(0, until - time.monotonic()))
        except queue.Empty:
            failed(f"{method} is not answered, after {len(asked)} questions:")
        if line is None:
            failed(f"it ended at {method}:")
        try:
            message = json.loads(line)
        except ValueError:
            continue
        if message.get("method") == "session/request_permission":
            options = message["params"]["options"]
            option = next(option for option in options if option["kind"].startswith("allow"))
            outcome = {"outcome": "selected", "optionId": option["optionId"]}
            send({"id": message["id"], "result": {"outcome": outcome}})
        elif message.get("method") == "session/update":
            update = message["params"]["update"]
            if update["sessionUpdate"] == "agent_message_chunk":
                spoken.append(update["content"].get("text", ""))
        elif "method" in message and "id" in message:
            send({"id": message["id"], "error": {"code": -32601, "message": "there is no such method"}})
        elif message.get("id") == identity and "method" not in message:
            if "error" in message:
                failed(f"{method}: {message['error']}")
            return message["result"]


capabilities = {"fs": {"readTextFile": False, "writeTextFile": False}, "terminal": False}
ask(1, "initialize", {"protocolVersion": 1, "clientCapabilities": capabilities})
if method:
    ask(2, "authenticate", {"methodId": method})
session = ask(3, "session/new", {"cwd": directory, "mcpServers": []})["sessionId"]
# As the agent server sets them, so that nobody is asked.
mode = {"claude-agent-acp": "bypassPermissions", "codex-acp": "agent-full-access", "gemini": "default"}[name]
ask(5, "session/set_mode", {"sessionId": session, "modeId": mode})
prompt = [{"type": "text", "text": "Write it down."}]
ended = ask(4, "session/prompt", {"sessionId": session, "prompt": prompt})
if ended.get("stopReason") != "end_turn" or SAID not in "".join(spoken):
    failed(f"{ended}, {''.join(spoken)!r}:")
try:
    with open(written, encoding="utf-8") as file:
        done = file.read()
except OSError as error:
    failed(f"{error}; {json.dumps(asked[-1], ensure_ascii=False)[-400:]}")
if done != "grüß⎮\n":
    failed(repr(done))
if "grüß⎮" not in json.dumps(asked[-1], ensure_ascii=False).replace(COMMAND, ""):
    failed("what the command printed is not told to the model:")
agent.stdin.close()
try:
    agent.wait(20)
except subprocess.TimeoutExpired:
    agent.kill()
