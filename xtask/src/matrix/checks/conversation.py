"""A conversation as a client of the SDK holds it with the agent server, whose model is made up here: asked for the first
time it calls the terminal, and then it says that it is done. What it asked for has to be done, and be told to it."""

import http.server
import json
import os
import sys
import threading

from pydantic import SecretStr

from openhands.sdk import LLM, Agent, Conversation, Tool, Workspace
from openhands.tools.terminal import TerminalTool

server, directory = sys.argv[1:]
written = os.path.join(directory, "said")
# Every character takes more than one byte in UTF-8, whatever the base's locale is.
COMMAND = f"printf '%s\\n' \"gr\"'üß⎮' | tee {written}"
asked = []


class Model(http.server.BaseHTTPRequestHandler):
    """Answers as chat completions do."""

    def do_POST(self):
        asked.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        names = [tool["function"]["name"] for tool in asked[-1].get("tools", [])]
        called = any(message["role"] == "tool" for message in asked[-1]["messages"])
        message = {"role": "assistant", "content": None}
        if not names:
            # Titles of conversations are asked for without tools.
            message["content"] = "A conversation"
        elif called:
            message["tool_calls"] = [call("finish", {"message": "It is written."})]
        else:
            name = next(name for name in names if "terminal" in name)
            message["tool_calls"] = [call(name, {"command": COMMAND})]
        answer = {
            "id": "made-up",
            "object": "chat.completion",
            "created": 0,
            "model": "made-up",
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2},
        }
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def call(name, arguments):
    function = {"name": name, "arguments": json.dumps(arguments)}
    return {"id": f"call_{name}_{len(asked)}", "type": "function", "function": function}


model = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=model.serve_forever, daemon=True).start()

llm = LLM(
    model="openai/made-up",
    base_url=f"http://127.0.0.1:{model.server_port}/v1",
    api_key=SecretStr("none"),
    num_retries=0,
)
agent = Agent(llm=llm, tools=[Tool(name=TerminalTool.name)])
conversation = Conversation(agent=agent, workspace=Workspace(host=server, working_dir=directory), visualizer=None)
conversation.send_message("Write it down.")
conversation.run(timeout=120 * int(os.environ.get("SLOWER", "1")))
status = conversation.state.execution_status
conversation.close()
assert status.value == "finished", status
with open(written, encoding="utf-8") as file:
    assert file.read() == "grüß⎮\n"
# A title may have been asked for last.
told = [message for question in asked for message in question["messages"] if message["role"] == "tool"]
assert "grüß⎮" in json.dumps(told, ensure_ascii=False), told
