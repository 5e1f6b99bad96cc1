"""Bob pays Alice, by the client that openapi-python-client makes of the API document.

Usage: story.py <address of a server whose simulated bank settles at once>
"""

import sys
import time
import uuid

from directpay_client import AuthenticatedClient, Client
from directpay_client.api.api_keys import create_api_key, revoke_api_key
from directpay_client.api.bank_accounts import create_bank_account
from directpay_client.api.events import read_events
from directpay_client.api.leases import create_lease, read_balance
from directpay_client.api.payments import initiate_payment, list_payments, read_history, read_payment
from directpay_client.api.properties import create_property
from directpay_client.api.reports import read_rent_roll
from directpay_client.api.sign_in import create_token
from directpay_client.api.users import create_user, read_me
from directpay_client.models import (
    InitiatePayment,
    LinkBankAccount,
    NewApiKey,
    NewLease,
    NewProperty,
    Problem,
    SignUp,
    TokenRequest,
)

PASSWORD = "correct horse battery staple"
PATIENCE_S = 20


def arrive(base: str, name: str, role: str) -> tuple[AuthenticatedClient, str]:
    """Signs somebody up and in."""
    stranger = Client(base_url=base)
    email = f"{name}-{uuid.uuid4()}@example.com"
    person = create_user.sync(
        client=stranger, body=SignUp(email=email, password=PASSWORD, full_name=name, role=role)
    )
    form = TokenRequest(grant_type="password", username=email, password=PASSWORD)
    session = create_token.sync(client=stranger, body=form)
    return AuthenticatedClient(base_url=base, token=session.access_token), str(person.id)


def link(who: AuthenticatedClient, number: str) -> None:
    account = create_bank_account.sync(
        client=who,
        body=LinkBankAccount(
            bank_name="First Bank",
            account_type="CHECKING",
            routing_number="021000021",
            account_number=number,
            account_holder_name="Its Holder",
        ),
    )
    assert account.last4 == number[-4:] and number not in str(account.to_dict())


def main(base: str) -> None:
    alice, _ = arrive(base, "alice", "LANDLORD")
    bob, bob_id = arrive(base, "bob", "RENTER")
    link(alice, "900000004321")
    link(bob, "900000001234")
    address = NewProperty(address="12 Maple Street", unit="2B", city="Portland", state="OR", zip_code="97205")
    flat = create_property.sync(client=alice, body=address)
    terms = NewLease.from_dict(
        {
            "property_id": str(flat.id),
            "renter_id": bob_id,
            "rent_amount": "1500.00",
            "payment_due_day": 1,
            "start_date": "2026-01-17",
            "end_date": "2026-06-30",
        }
    )
    lease = create_lease.sync(client=alice, body=terms)
    assert [row.amount for row in lease.schedule][:2] == ["725.81", "1500.00"], lease

    rent = InitiatePayment.from_dict({"lease_id": str(lease.id), "amount": "725.81", "rail": "INSTANT"})
    clicks = [initiate_payment.sync_detailed(client=bob, body=rent, idempotency_key="january") for _ in range(2)]
    assert [click.status_code for click in clicks] == [201, 200], clicks
    assert clicks[0].parsed.id == clicks[1].parsed.id
    assert clicks[1].headers["Idempotent-Replayed"] == "true"
    other = InitiatePayment.from_dict({**rent.to_dict(), "amount": "1.00"})
    refused = initiate_payment.sync(client=bob, body=other, idempotency_key="january")
    assert isinstance(refused, Problem) and refused.code == "idempotency_key_reused", refused
    payment = clicks[0].parsed
    until = time.monotonic() + PATIENCE_S
    while (now := read_payment.sync(payment_id=payment.id, client=bob)).status != "COMPLETED":
        assert now.status in ("PENDING", "PROCESSING") and time.monotonic() < until, now
        time.sleep(0.02)
    assert [row.id for row in list_payments.sync(client=bob).data] == [payment.id]
    history = read_history.sync(payment_id=payment.id, client=alice)
    happened = [event.event_type for event in history.events]
    assert happened == ["payment_initiated", "payment_processing", "payment_completed"], happened
    assert read_balance.sync(id=lease.id, client=bob).lease_id == lease.id

    # A program of Alice's, by a key that reads and no more.
    made = create_api_key.sync(client=alice, body=NewApiKey(name="Reader", scopes=["events:read", "reports:read"]))
    program = AuthenticatedClient(base_url=base, token=made.key)
    events = read_events.sync(client=program)
    assert "payment_completed" in [entry.event.event_type for entry in events.data], events
    assert read_rent_roll.sync(client=program).data
    assert read_me.sync(client=program).code == "insufficient_scope"
    revoke_api_key.sync(id=made.id, client=alice)
    refused = read_events.sync(client=program)
    assert isinstance(refused, Problem) and refused.code == "api_key_revoked", refused
    print("Python: Bob has paid Alice once.")


if __name__ == "__main__":
    main(sys.argv[1])
