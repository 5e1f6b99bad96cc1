"""Takes webhooks of a running DirectPay and verifies them with independent libraries.

Called as: webhooks.py SERVER FILE. What came is written to FILE, for other libraries.
"""

import base64
import json
import sys
import threading
import time
import urllib.request
import uuid
from datetime import datetime, timedelta, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from standardwebhooks import Webhook, WebhookVerificationError

SERVER, FILE = sys.argv[1:]
PASSWORD = "a throw-away passphrase for machines"
received = []


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        received.append(({name.lower(): value for name, value in self.headers.items()}, body))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def call(path, body=None, token=None, form=False):
    data = None if body is None else (body if form else json.dumps(body)).encode()
    kind = "application/x-www-form-urlencoded" if form else "application/json"
    headers = {"content-type": kind} | ({"authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(f"{SERVER}/api/v1{path}", data, headers, method="GET" if body is None else "POST")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def sign_up(role):
    email = f"{uuid.uuid4().hex}@example.com"
    user = call("/users/", {"email": email, "password": PASSWORD, "full_name": "A Person", "role": role})
    form = f"grant_type=password&username={email}&password={PASSWORD.replace(' ', '+')}"
    return user["id"], call("/auth/token", form, form=True)["access_token"]


def account(token, number):
    call("/bank-accounts/", {
        "bank_name": "First Rental Bank", "account_type": "CHECKING", "routing_number": "021000021",
        "account_number": number, "account_holder_name": "A. Person"}, token)


def wait_for(count):
    for _ in range(600):
        if count <= len(received):
            return
        time.sleep(0.1)
    raise SystemExit(f"{len(received)} deliveries of {count} came")


def is_believed(check):
    try:
        check()
        return True
    except (WebhookVerificationError, InvalidSignature):
        return False


def by_public_key(public_key, headers, body):
    key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key.removeprefix("whpk_")))
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    signatures = [text[4:] for text in headers["webhook-signature"].split(" ") if text.startswith("v1a,")]
    if not any(is_believed(lambda: key.verify(base64.b64decode(text), signed)) for text in signatures):
        raise InvalidSignature


def late(headers, webhook, body):
    """The same, signed in order, ten minutes ago: only its age is wrong."""
    then = datetime.now(timezone.utc) - timedelta(minutes=10)
    signature = webhook.sign(headers["webhook-id"], then, body.decode())
    return headers | {"webhook-timestamp": str(int(then.timestamp())), "webhook-signature": signature}


def main():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Receiver)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    (_, landlord), (renter_id, renter) = sign_up("LANDLORD"), sign_up("RENTER")
    account(landlord, "900000004321")
    account(renter, "000123456789")
    place = {"address": "12 Maple Street", "city": "Albany", "state": "NY", "zip_code": "12207"}
    house = call("/properties/", place, landlord)["id"]
    lease = call("/leases/", {
        "property_id": house, "renter_id": renter_id, "rent_amount": "1500.00", "payment_due_day": 1,
        "start_date": "2026-01-01"}, landlord)["id"]
    wanted = ["payment_initiated", "payment_processing", "payment_completed"]
    url = f"http://127.0.0.1:{server.server_port}/hook"
    hook = call("/webhooks/", {"url": url, "event_types": wanted}, landlord)
    rent = {"lease_id": lease, "amount": "1500.00", "rail": "INSTANT", "idempotency_key": "one"}
    call("/payments/", rent, renter)
    wait_for(3)
    rotated = call(f"/webhooks/{hook['id']}/rotate-secret", {}, landlord)
    call(f"/webhooks/{hook['id']}/test", {}, landlord)
    wait_for(4)
    types = [json.loads(body)["type"] for _, body in received]
    assert types == [*wanted, "webhook_test"], types
    seen = set()
    for at, (headers, body) in enumerate(received):
        keys = [hook] if at < 3 else [hook, rotated]
        for key in keys:
            webhook = Webhook(key["secret"])
            assert is_believed(lambda: webhook.verify(body, headers)), "a genuine delivery is not believed"
            assert is_believed(lambda: by_public_key(key["public_key"], headers, body)), "by its public key"
            tampered = body.replace(b'"type"', b'"Type"', 1)
            assert not is_believed(lambda: webhook.verify(tampered, headers)), "a tampered delivery is believed"
            assert not is_believed(lambda: by_public_key(key["public_key"], headers, tampered)), "by its public key"
            assert not is_believed(lambda: webhook.verify(body, headers | {"webhook-id": "another"})), "another id"
            assert not is_believed(lambda: webhook.verify(body, late(headers, webhook, body))), "a late delivery"
        assert headers["webhook-id"] not in seen, "a delivery came twice"
        seen.add(headers["webhook-id"])
    stranger = Webhook(rotated["secret"])
    assert not is_believed(lambda: stranger.verify(received[0][1], received[0][0])), "by a secret of later"
    with open(FILE, "w", encoding="utf-8") as file:
        json.dump({"secret": hook["secret"], "public_key": hook["public_key"],
                   "deliveries": [{"headers": headers, "body": body.decode()} for headers, body in received]}, file)
    print(f"Python: {len(received)} deliveries verified by standardwebhooks and by cryptography")


main()
