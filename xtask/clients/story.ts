// Bob pays Alice, by the client that @hey-api/openapi-ts makes of the API document.
//
// Usage: story.js <address of a server whose simulated bank settles at once>

import assert from 'node:assert/strict';
import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';

import { createClient, createConfig, type Client } from './directpay/client/index.js';
import * as directpay from './directpay/index.js';

const PASSWORD = 'correct horse battery staple';
const PATIENCE_MS = 20_000;

const base = process.argv[2]!;

function acting(token?: string): Client {
    return createClient(createConfig({ baseUrl: base, auth: token }));
}

// What the answer is, if it is none of the refusals.
function good<T>(answer: { data?: T; error?: unknown }): T {
    assert.equal(answer.error, undefined);
    assert.notEqual(answer.data, undefined);
    return answer.data!;
}

// Signs somebody up and in.
async function arrive(name: string, role: string): Promise<{ client: Client; id: string }> {
    const client = acting();
    const email = `${name}-${randomUUID()}@example.com`;
    const body = { email, password: PASSWORD, full_name: name, role };
    const person = good(await directpay.createUser({ client, body }));
    const form = { grant_type: 'password', username: email, password: PASSWORD };
    const session = good(await directpay.createToken({ client, body: form }));
    return { client: acting(session.access_token), id: person.id };
}

async function link(client: Client, number: string): Promise<void> {
    const body = {
        bank_name: 'First Bank',
        account_type: 'CHECKING',
        routing_number: '021000021',
        account_number: number,
        account_holder_name: 'Its Holder',
    };
    const account = good(await directpay.createBankAccount({ client, body }));
    assert.equal(account.last4, number.slice(-4));
    assert.ok(!JSON.stringify(account).includes(number));
}

const alice = await arrive('alice', 'LANDLORD');
const bob = await arrive('bob', 'RENTER');
await link(alice.client, '900000004321');
await link(bob.client, '900000001234');
const address = { address: '12 Maple Street', unit: '2B', city: 'Portland', state: 'OR', zip_code: '97205' };
const flat = good(await directpay.createProperty({ client: alice.client, body: address }));
const lease = good(
    await directpay.createLease({
        client: alice.client,
        body: {
            property_id: flat.id,
            renter_id: bob.id,
            rent_amount: '1500.00',
            payment_due_day: 1,
            start_date: '2026-01-17',
            end_date: '2026-06-30',
        },
    }),
);
assert.deepEqual(lease.schedule.slice(0, 2).map((row) => row.amount), ['725.81', '1500.00']);

const pay = (amount: string) =>
    directpay.initiatePayment({
        client: bob.client,
        headers: { 'Idempotency-Key': 'january' },
        body: { lease_id: lease.id, amount, rail: 'INSTANT' },
    });
const [first, second] = [await pay('725.81'), await pay('725.81')];
assert.deepEqual([first.response?.status, second.response?.status], [201, 200]);
const payment = good(first);
assert.equal(good(second).id, payment.id);
assert.equal(second.response?.headers.get('Idempotent-Replayed'), 'true');
const refused = await pay('1.00');
assert.ok(refused.error && 'code' in refused.error);
assert.equal(refused.error.code, 'idempotency_key_reused');

const path = { payment_id: payment.id };
const until = Date.now() + PATIENCE_MS;
for (;;) {
    const now = good(await directpay.readPayment({ client: bob.client, path }));
    if (now.status === 'COMPLETED') break;
    assert.ok(['PENDING', 'PROCESSING'].includes(now.status) && Date.now() < until, JSON.stringify(now));
    await sleep(20);
}
assert.deepEqual(good(await directpay.listPayments({ client: bob.client })).data.map((row) => row.id), [payment.id]);
const history = good(await directpay.readHistory({ client: alice.client, path }));
const happened = history.events.map((event) => event.event_type);
assert.deepEqual(happened, ['payment_initiated', 'payment_processing', 'payment_completed']);

// A program of Alice's, by a key that reads and no more.
const wanted = { name: 'Reader', scopes: ['events:read', 'reports:read'] };
const made = good(await directpay.createApiKey({ client: alice.client, body: wanted }));
const program = acting(made.key);
const events = good(await directpay.readEvents({ client: program }));
assert.ok(events.data.some((entry) => entry.event.event_type === 'payment_completed'));
assert.equal(good(await directpay.readRentRoll({ client: program })).data.length, 1);
const closed = await directpay.readMe({ client: program });
assert.equal(closed.error?.code, 'insufficient_scope');
good(await directpay.revokeApiKey({ client: alice.client, path: { id: made.id } }));
assert.equal((await directpay.readEvents({ client: program })).error?.code, 'api_key_revoked');
console.log('TypeScript: Bob has paid Alice once.');
