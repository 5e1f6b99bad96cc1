//! Deliveries on their way. Times are process time.

use directpay_domain::id::{DeliveryId, WebhookId};
use directpay_domain::time::Instant;
use directpay_domain::user::Role;
use directpay_domain::webhook::{DeliveryStatus, EventTypes, Outcome, Status};
use directpay_store::SealedText;
use directpay_store::webhooks::attempts::{self, Attempt, Verdict};
use directpay_store::webhooks::fan_out::{self, NewDelivery};
use directpay_store::webhooks::lanes::{self, Take, Taken};
use directpay_store::webhooks::{self, NewWebhook, Signer, deliveries};
use rstest::rstest;

use crate::harness::on_both_engines;
use crate::world::World;

const URL: &str = "https://hooks.example.com/";

async fn hook(world: &World) -> WebhookId {
    let new = NewWebhook {
        id: WebhookId(world.id()),
        user_id: world.joins(Role::Landlord).await,
        url: URL.to_owned(),
        description: String::new(),
        event_types: EventTypes::parse::<&str>(&[]).unwrap(),
        begins_after: None,
        signer: Signer {
            secret: SealedText { sealed: "secret".to_owned(), key_id: "enc-1".to_owned() },
            public_key: "public".to_owned(),
        },
        created_at: Instant::from_micros(0).unwrap(),
    };
    world.keep(async |tx| webhooks::insert(tx, &new).await).await;
    new.id
}

/// Puts as many events of one history on their way, due at `now_us`.
async fn waits(world: &World, webhook_id: WebhookId, events: i64, now_us: i64) {
    let stream_id = world.id();
    let new: Vec<_> = (1..=events)
        .map(|position| NewDelivery {
            id: DeliveryId(world.id()),
            webhook_id,
            position: Some(position),
            stream_id,
            event_type: "PaymentInitiated",
            body: position.to_string(),
        })
        .collect();
    world.keep(async |tx| fan_out::insert(tx, &new, now_us).await).await;
}

/// Takes what is due at `now_us`, for a hundred microseconds.
async fn takes(world: &World, now_us: i64, failing: bool) -> Vec<Taken> {
    let take = Take { taking: world.id(), now_us, until_us: now_us + 100, candidates: 4, of_one: 4, failing };
    world.keep(async |tx| lanes::take(tx, &[], take, |_| true).await).await
}

fn attempt(world: &World, taken: &Taken, outcome: Outcome, verdict: Verdict) -> Attempt {
    Attempt {
        id: world.id(),
        held: taken.held,
        delivery_id: taken.delivery_id,
        url: taken.url.clone(),
        outcome,
        status_code: None,
        detail: String::new(),
        started_us: 0,
        duration_us: 0,
        verdict,
        was_failing: taken.is_failing,
    }
}

fn delivered(world: &World, taken: &Taken) -> Attempt {
    attempt(world, taken, Outcome::Delivered, Verdict::Delivered)
}

fn refused(world: &World, taken: &Taken, verdict: Verdict) -> Attempt {
    attempt(world, taken, Outcome::Refused, verdict)
}

async fn records(world: &World, attempts: &[Attempt], now_us: i64) -> Vec<WebhookId> {
    world.keep(async |tx| attempts::record(tx, attempts, now_us, i64::MIN).await).await
}

async fn find(world: &World, taken: &Taken) -> deliveries::Delivery {
    let (webhook, id) = (taken.held.webhook_id, taken.delivery_id);
    world.keep(async |tx| deliveries::find(tx, webhook, id).await).await.unwrap()
}

#[test]
fn what_is_recorded_again_counts_once() {
    on_both_engines(async |world| {
        let webhook = hook(world).await;
        waits(world, webhook, 2, 0).await;
        let first = &takes(world, 0, false).await[0];
        let attempts = [delivered(world, first)];
        // Nobody heard whether the first commit held.
        records(world, &attempts, 10).await;
        records(world, &attempts, 20).await;
        assert_eq!(
            (find(world, first).await.attempts, find(world, first).await.status),
            (1, DeliveryStatus::Delivered)
        );

        let second = &takes(world, 20, false).await[0];
        assert_eq!(second.body, "2");
        records(world, &attempts, 30).await;
        assert!(takes(world, 30, false).await.is_empty(), "the lane is not the first taking's any more");
        records(world, &[delivered(world, second)], 40).await;
        assert_eq!(world.count("SELECT COUNT(*) FROM webhook_lanes").await, 0);
        assert_eq!(world.count("SELECT COUNT(*) FROM webhook_attempts").await, 2);
    });
}

#[rstest]
#[case::by_the_one_that_was_late(Verdict::GivenUp)]
#[case::to_be_tried_again(Verdict::Again { due_us: 1_000 })]
fn who_comes_too_late_decides_nothing(#[case] verdict: Verdict) {
    on_both_engines(async |world| {
        let webhook = hook(world).await;
        waits(world, webhook, 2, 0).await;
        let late = &takes(world, 0, false).await[0];
        assert!(takes(world, 99, false).await.is_empty());
        let anew = &takes(world, 100, false).await[0];
        assert_eq!(anew.delivery_id, late.delivery_id);

        records(world, &[refused(world, late, verdict)], 110).await;
        assert!(takes(world, 120, false).await.is_empty(), "it is on its way");
        // Both in one batch, and alone.
        records(world, &[refused(world, late, verdict), delivered(world, anew)], 130).await;
        assert_eq!(find(world, late).await.status, DeliveryStatus::Delivered);
        let next = &takes(world, 130, false).await[0];
        assert_eq!(next.body, "2");
        records(world, &[delivered(world, late)], 140).await;
        records(world, &[delivered(world, next)], 150).await;
        assert_eq!(world.count("SELECT COUNT(*) FROM webhook_lanes").await, 0);
    });
}

#[test]
fn what_is_let_go_of_is_let_go_of_by_its_own_taking_only() {
    on_both_engines(async |world| {
        let webhook = hook(world).await;
        waits(world, webhook, 1, 0).await;
        let late = &takes(world, 0, false).await[0];
        let anew = &takes(world, 100, false).await[0];
        let releases = async |held, now| world.keep(async |tx| lanes::release(tx, &[held], now).await).await;
        releases(late.held, 110).await;
        assert!(takes(world, 110, false).await.is_empty());
        releases(anew.held, 120).await;
        assert_eq!(takes(world, 120, false).await.len(), 1);
    });
}

#[test]
fn an_answer_from_its_old_place_does_not_end_a_webhook_that_has_moved() {
    on_both_engines(async |world| {
        let webhook = hook(world).await;
        waits(world, webhook, 1, 0).await;
        let find = async || world.keep(async |tx| webhooks::find(tx, webhook).await).await.unwrap();
        let taken = &takes(world, 0, false).await[0];
        records(world, &[refused(world, taken, Verdict::Again { due_us: 10 })], 5).await;
        assert!(find().await.failing_since.is_some());

        let taken = &takes(world, 10, true).await[0];
        let moved = webhooks::Webhook { url: "https://new.example.com/".to_owned(), ..find().await };
        world.keep(async |tx| webhooks::update(tx, &moved).await).await;
        assert!(find().await.failing_since.is_none(), "nothing was tried there yet");
        assert!(records(world, &[refused(world, taken, Verdict::Gone)], 20).await.is_empty());
        assert_eq!((find().await.status, find().await.failing_since), (Status::Enabled, None));

        let taken = &takes(world, 20, false).await[0];
        assert_eq!(taken.url, "https://new.example.com/");
        assert_eq!(records(world, &[refused(world, taken, Verdict::Gone)], 30).await, [webhook]);
        assert_eq!(find().await.status, Status::Disabled);
    });
}

#[test]
fn those_who_fail_hide_nobody() {
    on_both_engines(async |world| {
        // More of them than are looked at.
        let mut failed = Vec::new();
        for _ in 0..2 {
            for _ in 0..4 {
                waits(world, hook(world).await, 1, 0).await;
            }
            failed.extend(
                takes(world, 0, false).await.iter().map(|taken| refused(world, taken, Verdict::Again { due_us: 5 })),
            );
        }
        assert_eq!(failed.len(), 8);
        records(world, &failed, 5).await;
        let sound = hook(world).await;
        waits(world, sound, 1, 10).await;
        let taken = takes(world, 10, false).await;
        assert_eq!(taken.iter().map(|taken| taken.held.webhook_id).collect::<Vec<_>>(), [sound]);
        assert_eq!(takes(world, 10, true).await.len(), 4);
    });
}
