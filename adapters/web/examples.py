"""How an endpoint is called, to be copied: in a shell, in Python and in JavaScript, with what these bring along."""

import json
import pprint
import shlex


def call_in_each_language(method: str, url: str, body: object) -> dict[str, str]:
    """Programs that call `url` and print the answer; `body` is sent as JSON unless it is None."""
    return {
        "curl": _curl(method, url, body),
        "Python": _python(method, url, body),
        "JavaScript": _javascript(method, url, body),
    }


def listen_in_each_language(url: str) -> dict[str, str]:
    """Programs that print what a websocket says."""
    return {
        "curl": f"python -m websockets {url}",
        "Python": f"from websockets.sync.client import connect\n\n"
        f"with connect({url!r}) as socket:\n    for message in socket:\n        print(message)",
        "JavaScript": f"const socket = new WebSocket({json.dumps(url)});\n"
        "socket.onmessage = ({ data }) => console.log(JSON.parse(data));",
    }


def _curl(method: str, url: str, body: object) -> str:
    address = shlex.quote(url) if "{" in url else url
    if body is None:
        return f"curl {address}" if method == "GET" else f"curl -X {method} {address}"
    text = shlex.quote(json.dumps(body, ensure_ascii=False))
    return f"curl {address} \\\n  -H 'Content-Type: application/json' \\\n  -d {text}"


def _python(method: str, url: str, body: object) -> str:
    lines = ["from urllib.request import Request, urlopen", ""]
    if body is None:
        lines.append(f"request = Request({url!r}, method={method!r})")
    else:
        lines[0] = f"import json\n{lines[0]}"
        lines += [
            f"body = {pprint.pformat(body, sort_dicts=False, width=76)}",
            f"request = Request({url!r}, json.dumps(body).encode(),",
            "                  {'Content-Type': 'application/json'})",
        ]
    return "\n".join([*lines, "with urlopen(request) as answer:", "    print(answer.read().decode())"])


def _javascript(method: str, url: str, body: object) -> str:
    address = json.dumps(url)
    if body is None:
        options = "" if method == "GET" else f", {{ method: {json.dumps(method)} }}"
    else:
        text = json.dumps(body, ensure_ascii=False, indent=2).replace("\n", "\n  ")
        options = (
            ", {\n"
            f"  method: {json.dumps(method)},\n"
            '  headers: { "Content-Type": "application/json" },\n'
            f"  body: JSON.stringify({text}),\n"
            "}"
        )
    return f"const answer = await fetch({address}{options});\nconsole.log(await answer.text());"
