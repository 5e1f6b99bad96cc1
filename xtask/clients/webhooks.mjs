// Verifies what webhooks.py took, with the library of npm and with Node's own cryptography.
// Called as: webhooks.mjs FILE, in a folder that has node_modules.

import assert from "node:assert";
import { createPublicKey, verify } from "node:crypto";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";

const { Webhook } = createRequire(join(process.cwd(), "package.json"))("standardwebhooks");
const { secret, public_key, deliveries } = JSON.parse(readFileSync(process.argv[2], "utf8"));
const webhook = new Webhook(secret);
// The fixed beginning of an Ed25519 key in DER, and the 32 bytes of this one.
const der = Buffer.concat([Buffer.from("302a300506032b6570032100", "hex"), Buffer.from(public_key.slice(5), "base64")]);
const key = createPublicKey({ key: der, format: "der", type: "spki" });

function holds(body, headers) {
  const signed = Buffer.from(`${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`);
  const signatures = headers["webhook-signature"].split(" ").filter((text) => text.startsWith("v1a,"));
  return signatures.some((text) => verify(null, signed, key, Buffer.from(text.slice(4), "base64")));
}

assert(deliveries.length > 0);
for (const { headers, body } of deliveries) {
  assert.deepStrictEqual(webhook.verify(body, headers), JSON.parse(body));
  assert(holds(body, headers));
  const tampered = body.replace('"type"', '"Type"');
  assert.throws(() => webhook.verify(tampered, headers));
  assert(!holds(tampered, headers));
  assert.throws(() => webhook.verify(body, { ...headers, "webhook-id": "another" }));
  const then = new Date(Date.now() - 600_000);
  const late = {
    "webhook-id": headers["webhook-id"],
    "webhook-timestamp": String(Math.floor(then / 1000)),
    "webhook-signature": webhook.sign(headers["webhook-id"], then, body),
  };
  assert.throws(() => webhook.verify(body, late), /old/);
}
console.log(`Node: ${deliveries.length} deliveries verified by standardwebhooks and by node:crypto`);
