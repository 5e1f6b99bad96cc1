//! Leases, who sees them, and their schedules.

use directpay_domain::charge::ChargeNotice;
use directpay_domain::id::{ChargeId, LeaseId, UserId};
use directpay_domain::schedule::{ScheduledCharge, schedule};
use directpay_domain::user::Role;
use directpay_store::leases::{self, Lease};
use directpay_store::{Page, StoreError, charges, lease_ledger};
use jiff::civil::{Date, date};
use rstest::rstest;
use uuid::Uuid;

use crate::harness::on_both_engines;
use crate::world::{World, passed, terms, usd};

fn ids(leases: &[Lease]) -> Vec<LeaseId> {
    leases.iter().map(|lease| lease.id).collect()
}

#[test]
fn a_lease_is_kept_as_entered_with_its_renters() {
    on_both_engines(async |world| {
        let (landlord, one, two) =
            (world.joins(Role::Landlord).await, world.joins(Role::Renter).await, world.joins(Role::Renter).await);
        let account = world.links(landlord).await;
        let property = world.builds(landlord).await;
        let ends_on = Some(date(2026, 12, 31));
        let mut lease = world.lease(property, landlord, &[one, two], terms(date(2026, 1, 15), ends_on));
        lease.payee_account_id = Some(account);
        lease.charge_notice = ChargeNotice::parse(90).unwrap();
        world.keep(async |tx| leases::insert(tx, &lease, passed(date(2026, 1, 15))).await).await;

        let found = world.keep(async |tx| leases::find(tx, lease.id).await).await.unwrap();

        assert_eq!(found.terms, lease.terms);
        assert_eq!((found.property_id, found.landlord_id), (property, landlord));
        assert_eq!(found.payee_account_id, Some(account));
        assert_eq!(found.charge_notice, lease.charge_notice);
        let none = ChargeNotice::parse(0).unwrap();
        world.keep(async |tx| leases::set_charge_notice(tx, lease.id, none).await).await;
        let found = world.keep(async |tx| leases::find(tx, lease.id).await).await.unwrap();
        assert_eq!(found.charge_notice, none);
        assert_eq!((found.terminated_at, found.created_at), (None, lease.created_at));
        assert_eq!(found.renters.iter().map(|renter| UserId(renter.id)).collect::<Vec<_>>(), [one, two]);
    });
}

#[test]
fn only_its_parties_find_a_lease() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let stranger = world.house().await;
        let found =
            async |caller| world.keep(async |tx| leases::find_for_party(tx, caller, house.lease).await).await.is_some();
        assert!(found(house.landlord).await && found(house.renter).await);
        assert!(!found(stranger.landlord).await && !found(stranger.renter).await);
        let held = async |landlord| {
            world.keep(async |tx| leases::find_for_update(tx, landlord, house.lease).await).await.is_some()
        };
        assert!(held(house.landlord).await);
        assert!(!held(house.renter).await && !held(stranger.landlord).await);
        assert!(world.keep(async |tx| leases::find(tx, LeaseId(Uuid::nil())).await).await.is_none());
    });
}

#[rstest]
#[case::the_same((2026, 1, 1), Some((2026, 12, 31)), true)]
#[case::the_last_day((2026, 12, 31), Some((2027, 5, 1)), true)]
#[case::the_first_day((2025, 1, 1), Some((2026, 1, 1)), true)]
#[case::within((2026, 6, 1), Some((2026, 6, 2)), true)]
#[case::around((2025, 1, 1), None, true)]
#[case::the_day_before((2025, 1, 1), Some((2025, 12, 31)), false)]
#[case::the_day_after((2027, 1, 1), None, false)]
fn no_two_leases_of_a_property_share_a_day(
    #[case] start: (i16, i8, i8),
    #[case] end: Option<(i16, i8, i8)>,
    #[case] is_refused: bool,
) {
    let day = |(year, month, day)| date(year, month, day);
    on_both_engines(async |world| {
        let (landlord, renter) = (world.joins(Role::Landlord).await, world.joins(Role::Renter).await);
        let property = world.builds(landlord).await;
        let add = async |terms| -> Result<LeaseId, StoreError> {
            let lease = world.lease(property, landlord, &[renter], terms);
            let mut tx = world.db.begin().await?;
            leases::insert(&mut tx, &lease, passed(date(2026, 1, 1))).await?;
            tx.commit().await?;
            Ok(lease.id)
        };
        add(terms(date(2026, 1, 1), Some(date(2026, 12, 31)))).await.unwrap();

        let added = add(terms(day(start), end.map(day))).await;

        assert_eq!(added.is_err(), is_refused);
        assert!(added.err().is_none_or(|error| error.breaks("leases_overlap")));
        // Another property is another matter.
        world.lets(landlord, &[renter]).await;
    });
}

#[test]
fn a_lease_cannot_be_moved_onto_another() {
    on_both_engines(async |world| {
        let (landlord, renter) = (world.joins(Role::Landlord).await, world.joins(Role::Renter).await);
        let property = world.builds(landlord).await;
        for (start, end) in [(date(2026, 1, 1), Some(date(2026, 6, 30))), (date(2026, 7, 1), Some(date(2026, 12, 31)))]
        {
            let lease = world.lease(property, landlord, &[renter], terms(start, end));
            world.keep(async |tx| leases::insert(tx, &lease, passed(start)).await).await;
        }
        for overlapping in [
            "UPDATE leases SET ends_on = 20260701 WHERE starts_on = 20260101",
            "UPDATE leases SET ends_on = NULL WHERE starts_on = 20260101",
            "UPDATE leases SET starts_on = 20260630 WHERE starts_on = 20260701",
        ] {
            let error = world.fail(async |tx| tx.execute(overlapping, ()).await).await;
            assert!(directpay_store::breaks(&error, "leases_overlap"), "{error}");
        }
        world.execute("UPDATE leases SET starts_on = 20260702 WHERE starts_on = 20260701").await;
    });
}

#[test]
fn a_terminated_lease_makes_room_after_its_end() {
    on_both_engines(async |world| {
        let house = world.house().await;
        world.keep(async |tx| leases::terminate(tx, house.lease, date(2026, 3, 31), world.now()).await).await;
        let ended = world.keep(async |tx| leases::find(tx, house.lease).await).await.unwrap();
        assert_eq!((ended.terms.ends_on, ended.terminated_at), (Some(date(2026, 3, 31)), Some(world.now())));

        let next = world.lease(house.property, house.landlord, &[house.renter], terms(date(2026, 4, 1), None));
        world.keep(async |tx| leases::insert(tx, &next, passed(date(2026, 4, 1))).await).await;
    });
}

#[test]
fn leases_are_paged_newest_first_for_each_who_may_see_them() {
    on_both_engines(async |world| {
        let (landlord, other) = (world.joins(Role::Landlord).await, world.joins(Role::Landlord).await);
        let (renter, flatmate) = (world.joins(Role::Renter).await, world.joins(Role::Renter).await);
        let first = world.lets(landlord, &[renter]).await;
        let second = world.lets(other, &[renter, flatmate]).await;
        let third = world.lets(landlord, &[renter, flatmate]).await;
        let all = Page::first(9);

        let by_landlord =
            async |page| ids(&world.keep(async |tx| leases::list_by_landlord(tx, landlord, page).await).await);
        assert_eq!(by_landlord(all).await, [third, first]);
        assert_eq!(by_landlord(Page::first(1)).await, [third]);
        assert_eq!(by_landlord(Page { before: third.0, limit: 9 }).await, [first]);

        let by_renter = async |renter, with, page| {
            ids(&world.keep(async |tx| leases::list_by_renter(tx, renter, with, page).await).await)
        };
        assert_eq!(by_renter(renter, None, all).await, [third, second, first]);
        assert_eq!(by_renter(renter, None, Page { before: third.0, limit: 1 }).await, [second]);
        assert_eq!(by_renter(renter, Some(landlord), all).await, [third, first]);
        assert_eq!(by_renter(flatmate, Some(other), all).await, [second]);
        assert_eq!(by_renter(landlord, None, all).await, []);
    });
}

#[test]
fn a_propertys_leases_are_paged_newest_first_and_a_renter_sees_only_the_own() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let later = world.joins(Role::Renter).await;
        world.keep(async |tx| leases::terminate(tx, house.lease, date(2026, 3, 31), world.now()).await).await;
        let next = world.lease(house.property, house.landlord, &[later], terms(date(2026, 4, 1), None));
        world.keep(async |tx| leases::insert(tx, &next, passed(date(2026, 4, 1))).await).await;
        let list = async |renter, page| {
            ids(&world.keep(async |tx| leases::list_by_property(tx, house.property, renter, page).await).await)
        };
        assert_eq!(list(None, Page::first(9)).await, [next.id, house.lease]);
        assert_eq!(list(None, Page { before: next.id.0, limit: 9 }).await, [house.lease]);
        assert_eq!(list(Some(house.renter), Page::first(9)).await, [house.lease]);
        assert_eq!(list(Some(later), Page::first(9)).await, [next.id]);
        assert_eq!(list(Some(house.landlord), Page::first(9)).await, []);
    });
}

#[test]
fn a_lease_comes_up_when_its_next_day_begins_and_not_again_on_that_day() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let due = async |now, limit| -> Vec<(LeaseId, Date)> {
            let found = world.keep(async |tx| lease_ledger::claim_due_passes(tx, now, None, limit).await).await;
            found.into_iter().map(|due| (due.lease_id, due.passed_on)).collect()
        };
        let begins = passed(date(2026, 1, 1)).next_at;
        assert_eq!(due(begins.plus_micros(-1), 9).await, []);
        assert!(!world.keep(async |tx| lease_ledger::is_pass_due(tx, begins.plus_micros(-1)).await).await);
        assert!(world.keep(async |tx| lease_ledger::is_pass_due(tx, begins).await).await);
        assert_eq!(due(begins, 9).await, [(house.lease, date(2026, 1, 1))]);
        assert_eq!(due(begins, 0).await, []);

        let gone = [(house.lease, passed(date(2026, 1, 2)))];
        world.keep(async |tx| lease_ledger::mark_passed(tx, &gone).await).await;

        assert_eq!(due(begins, 9).await, []);
        assert_eq!(due(passed(date(2026, 1, 2)).next_at, 9).await, [(house.lease, date(2026, 1, 2))]);
    });
}

async fn reconcile(world: &World, lease: LeaseId, scheduled: &[ScheduledCharge]) {
    world.keep(async |tx| charges::reconcile(tx, lease, scheduled, |_| None, || ChargeId(world.id())).await).await;
}

async fn charges_of(world: &World, lease: LeaseId) -> Vec<(ChargeId, ScheduledCharge)> {
    let stored = world.keep(async |tx| charges::list(tx, lease).await).await;
    let scheduled = stored.into_iter().map(|charge| {
        let of_schedule = ScheduledCharge {
            kind: charge.kind,
            extra: None,
            period_start: charge.period_start,
            period_end: charge.period_end,
            due_date: charge.due_date,
            amount: charge.amount,
        };
        (charge.id, of_schedule)
    });
    scheduled.collect()
}

fn year() -> Vec<ScheduledCharge> {
    schedule(&terms(date(2026, 1, 15), Some(date(2026, 12, 20))), date(2027, 1, 1))
}

#[test]
fn a_schedule_is_kept_oldest_first_and_making_it_again_changes_nothing() {
    on_both_engines(async |world| {
        let (house, other) = (world.house().await, world.house().await);
        reconcile(world, other.lease, &year()).await;
        reconcile(world, house.lease, &year()).await;
        let once = charges_of(world, house.lease).await;
        assert_eq!(once.iter().map(|(_, charge)| charge.clone()).collect::<Vec<_>>(), year());

        reconcile(world, house.lease, &year()).await;

        assert_eq!(charges_of(world, house.lease).await, once);
        assert_eq!(charges_of(world, other.lease).await.len(), year().len());
    });
}

#[test]
fn a_schedule_heals_keeps_ids_follows_terms_and_drops_what_is_no_longer_charged() {
    on_both_engines(async |world| {
        let house = world.house().await;
        reconcile(world, house.lease, &year()).await;
        let before = charges_of(world, house.lease).await;
        world.execute("DELETE FROM charges WHERE period_start = 20260501").await;
        world.execute("UPDATE charges SET amount = 1 WHERE period_start = 20260601").await;
        reconcile(world, house.lease, &year()).await;
        let healed = charges_of(world, house.lease).await;
        let is_new: Vec<_> = before.iter().zip(&healed).map(|(old, new)| (old.1 == new.1, old.0 == new.0)).collect();
        assert_eq!(
            is_new.iter().filter(|same| **same == (true, false)).count(),
            1,
            "only the missing one has a new id"
        );
        assert!(is_new.iter().all(|(same_charge, _)| *same_charge));

        let mut shorter = year();
        shorter.truncate(3);
        shorter[2].amount = usd(77_700);
        reconcile(world, house.lease, &shorter).await;

        let left = charges_of(world, house.lease).await;
        assert_eq!(left.iter().map(|(_, charge)| charge.clone()).collect::<Vec<_>>(), shorter);
        assert_eq!(
            left.iter().map(|(id, _)| *id).collect::<Vec<_>>(),
            healed[..3].iter().map(|(id, _)| *id).collect::<Vec<_>>()
        );
        reconcile(world, house.lease, &[]).await;
        assert_eq!(charges_of(world, house.lease).await, []);
    });
}
