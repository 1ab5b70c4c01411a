"""How an endpoint is called, to be copied: in a shell, in Python and in JavaScript, with what these bring along."""

import json
import pprint
import shlex


def call_in_each_language(method: str, url: str, body: object, *, keys: bool) -> dict[str, str]:
    """Programs that call `url` and print the answer; `body` is sent as JSON unless it is None. Where `keys` are needed
    they send the one in the environment's `ZEPHYR_KEY`, a page the one in its `key`."""
    return {
        "curl": _curl(method, url, body, keys=keys),
        "Python": _python(method, url, body, keys=keys),
        "JavaScript": _javascript(method, url, body, keys=keys),
    }


def listen_in_each_language(url: str, *, keys: bool) -> dict[str, str]:
    """Programs that print what a websocket says."""
    offered = ', ["zephyr", "key." + key]' if keys else ""
    header = ', additional_headers={"x-api-key": os.environ["ZEPHYR_KEY"]}' if keys else ""
    imported = "import os\n" if keys else ""
    page = f"const socket = new WebSocket({json.dumps(url)}{offered});"
    return {
        "curl": page if keys else f"python -m websockets {url}",
        "Python": f"{imported}from websockets.sync.client import connect\n\n"
        f"with connect({url!r}{header}) as socket:\n    for message in socket:\n        print(message)",
        "JavaScript": f"{page}\nsocket.onmessage = ({{ data }}) => console.log(JSON.parse(data));",
    }


def _curl(method: str, url: str, body: object, *, keys: bool) -> str:
    address = shlex.quote(url) if "{" in url else url
    if keys:
        address += ' -H "Authorization: Bearer $ZEPHYR_KEY"'
    if body is None:
        return f"curl {address}" if method == "GET" else f"curl -X {method} {address}"
    text = shlex.quote(json.dumps(body, ensure_ascii=False))
    return f"curl {address} \\\n  -H 'Content-Type: application/json' \\\n  -d {text}"


def _python(method: str, url: str, body: object, *, keys: bool) -> str:
    lines = ["from urllib.request import Request, urlopen", ""]
    headers = {} if body is None else {"Content-Type": '"application/json"'}
    if keys:
        lines[0] = f"import os\n{lines[0]}"
        headers["Authorization"] = "f\"Bearer {os.environ['ZEPHYR_KEY']}\""
    if headers:
        lines.append("headers = {" + ", ".join(f'"{name}": {value}' for name, value in headers.items()) + "}")
    sent = ", headers=headers" if headers else ""
    if body is None:
        lines.append(f"request = Request({url!r}, method={method!r}{sent})")
    else:
        lines[0] = f"import json\n{lines[0]}"
        lines += [
            f"body = {pprint.pformat(body, sort_dicts=False, width=76)}",
            f"request = Request({url!r}, json.dumps(body).encode(){sent})",
        ]
    return "\n".join([*lines, "with urlopen(request) as answer:", "    print(answer.read().decode())"])


def _javascript(method: str, url: str, body: object, *, keys: bool) -> str:
    headers = {} if body is None else {'"Content-Type"': '"application/json"'}
    if keys:
        headers["Authorization"] = "`Bearer ${key}`"
    options = [] if method == "GET" else [f"method: {json.dumps(method)}"]
    if headers:
        options.append(
            "headers: { " + ", ".join(f"{name}: {value}" for name, value in headers.items()) + " }"
        )
    if body is not None:
        text = json.dumps(body, ensure_ascii=False, indent=2).replace("\n", "\n  ")
        options.append(f"body: JSON.stringify({text})")
    given = ", {\n  " + ",\n  ".join(options) + ",\n}" if len(options) > 1 else ""
    if len(options) == 1:
        given = f", {{ {options[0]} }}"
    return f"const answer = await fetch({json.dumps(url)}{given});\nconsole.log(await answer.text());"
