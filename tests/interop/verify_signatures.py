"""Our signatures against the vendors' own libraries, in both directions.

    python3 -m venv /tmp/interop
    /tmp/interop/bin/pip install openai==3.54.0 twilio==9.13.0

    # Do the libraries accept every committed vector, theirs and ours?
    /tmp/interop/bin/python tests/interop/verify_signatures.py

    # Make new vectors of theirs (the seed is printed and may be given), then see that we accept them.
    /tmp/interop/bin/python tests/interop/verify_signatures.py --write [SEED]
    cargo test --test it signatures

    # After a change of ours: make new signatures of ours, then see that they accept them.
    UPDATE_FIXTURES=1 cargo test --test it signatures
    /tmp/interop/bin/python tests/interop/verify_signatures.py

The vectors are `tests/fixtures/signatures/{openai,twilio}.json` (theirs) and `ours.json` (written by
`tests/it/signatures.rs`). Exit status 0 only if everything agrees.
"""

import base64
import hashlib
import hmac
import json
import random
import sys
from pathlib import Path

from openai import OpenAI
from openai import InvalidWebhookSignatureError
from twilio.request_validator import RequestValidator, get_signature_algorithm

FIXTURES = Path(__file__).parent.parent / "fixtures" / "signatures"
# The vectors' timestamps are fixed, so the library's replay window must reach them.
TOLERANCE_S = 10**10
TEXTS = ["", " ", "a", "予約したいです", "+819012345678", "é<&>'\"=", "a+b c", "100%", "\t", "🙂", "zz\\n", "~*!()"]


def main(arguments):
    if arguments[:1] == ["--write"]:
        seed = int(arguments[1]) if len(arguments) > 1 else random.randrange(10**9)
        print(f"seed {seed}")
        chance = random.Random(seed)
        write("openai.json", [webhook(chance) for _ in range(15)])
        write("twilio.json", [request(chance, number) for number in range(20)])
    check_webhooks("openai.json", read("openai.json"))
    check_requests("twilio.json", read("twilio.json"))
    ours = read("ours.json")
    check_webhooks("ours.json", ours["webhooks"])
    check_requests("ours.json", ours["requests"])


# === What the libraries say


def check_webhooks(name, vectors):
    for vector in vectors:
        assert accepts_webhook(vector), f"{name}: openai refuses {vector}"
        changed = dict(vector, body=vector["body"] + " ")
        assert not accepts_webhook(changed), f"{name}: openai accepts a changed body of {vector}"
    print(f"{name}: openai accepts {len(vectors)} webhooks, and none of them changed")


def accepts_webhook(vector):
    headers = {
        "webhook-id": vector["id"],
        "webhook-timestamp": vector["timestamp"],
        "webhook-signature": vector["signature"],
    }
    client = OpenAI(api_key="unused", webhook_secret=vector["secret"])
    try:
        client.webhooks.verify_signature(vector["body"], headers, tolerance=TOLERANCE_S)
        return True
    except InvalidWebhookSignatureError:
        return False


def check_requests(name, vectors):
    for vector in vectors:
        assert accepts_request(vector), f"{name}: twilio refuses {vector}"
        changed = dict(vector, target=vector["target"] + "x")
        assert not accepts_request(changed), f"{name}: twilio accepts a changed target of {vector}"
    print(f"{name}: twilio accepts {len(vectors)} requests, and none of them changed")


def accepts_request(vector):
    algorithm = get_signature_algorithm(vector["settings"])
    url = vector["public_base_url"] + vector["target"]
    if vector["content"] == "upgrade":
        url = url.replace("https://", "wss://", 1)
    params = vector["body"] if vector["content"] == "json" else Fields(vector["fields"])
    return RequestValidator(vector["secret"]).validate(url, params, vector["signature"], algorithm)


class Fields(dict):
    """Repeated names, the way the library knows them from Django."""

    def __init__(self, pairs):
        super().__init__()
        for name, value in pairs:
            self.setdefault(name, []).append(value)

    def getlist(self, name):
        return self[name]


# === New vectors


def webhook(chance):
    key = chance.randbytes(chance.randrange(1, 48))
    if chance.random() < 0.7:
        secret = "whsec_" + base64.b64encode(key).decode()
    else:
        secret = "plain-" + key.hex()
        key = secret.encode()
    vector = {
        "id": f"wh_{chance.getrandbits(128):032x}",
        "timestamp": str(chance.randrange(1_700_000_000, 1_900_000_000)),
        "body": json.dumps({"id": "evt", "data": texts(chance)}, ensure_ascii=chance.random() < 0.5),
        "secret": secret,
    }
    # The library only verifies; what is made here counts because `check_webhooks` asks it.
    content = f"{vector['id']}.{vector['timestamp']}.{vector['body']}".encode()
    signature = "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
    others = ["v1,AAAA", "v2," + signature[3:], "v1," + base64.b64encode(chance.randbytes(32)).decode()]
    chosen = [signature, *chance.sample(others, chance.randrange(3))]
    chance.shuffle(chosen)
    return vector | {"signature": " ".join(chosen)}


def request(chance, number):
    content = ["form", "form", "form", "nothing", "json", "upgrade"][number % 6]
    algorithm = chance.choice(["HMAC_SHA1", "HMAC_SHA256"]) if number % 2 else None
    host = chance.choice(["gw.example.jp", "127.0.0.1", "a-b.example.com"])
    scheme = "https" if content == "upgrade" else chance.choice(["https", "https", "http"])
    port = chance.choice(["", "", ":8443", ":443" if scheme == "https" else ":80"])
    target = "/" + "/".join(chance.choice(["twilio", "voice", "a%20b", "é"]) for _ in range(chance.randrange(1, 4)))
    target = target.replace("é", "%C3%A9")
    if content != "upgrade" and chance.random() < 0.6:
        target += "?c=call_01&try=1&label=It's%20caf%C3%A9+ok"
    body = json.dumps(texts(chance), ensure_ascii=False) if content == "json" else ""
    if content == "json":
        target += ("&" if "?" in target else "?") + "bodySHA256=" + hashlib.sha256(body.encode()).hexdigest()
    fields = [[chance.choice("ABCdef") + text, chance.choice(TEXTS)] for text in texts(chance)]
    vector = {
        "content": content,
        "public_base_url": f"{scheme}://{host}{port}",
        "target": target,
        "fields": fields + fields[:2] if content == "form" else [],
        "body": body,
        "secret": chance.randbytes(16).hex(),
        "settings": algorithm and f"key=webhooks_sharedkey_{number},algorithm={algorithm}",
    }
    # Twilio signs without the port, or with the default one; over plain HTTP with the one there is.
    signed_ports = [port] if scheme == "http" else ["", ":443"]
    signed_scheme = "wss" if content == "upgrade" else scheme
    # The Python library does not know that 443 belongs to `wss`.
    signed_port = "" if content == "upgrade" else chance.choice(signed_ports)
    if port == ":8443" and signed_port == ":443":
        signed_port = port
    url = f"{signed_scheme}://{host}{signed_port}{target}"
    signature = RequestValidator(vector["secret"]).compute_signature(url, Fields(vector["fields"]), algorithm)
    return vector | {"signature": signature}


def texts(chance):
    return [chance.choice(TEXTS) + chance.choice(TEXTS) for _ in range(chance.randrange(1, 8))]


def read(name):
    return json.loads((FIXTURES / name).read_text())


def write(name, vectors):
    text = json.dumps(vectors, indent=2, ensure_ascii=False)
    (FIXTURES / name).write_text(text + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
