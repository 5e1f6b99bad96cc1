//! Reading payments: newest first, behind a cursor, and only one's own.

use directpay_domain::id::{PaymentId, UserId};
use directpay_domain::payment::initiate::Initiation;
use directpay_domain::payment::{Command, Payment, Status};
use directpay_domain::rail::Rail;
use directpay_domain::user::Role;
use directpay_store::Page;
use directpay_store::payments::{self, Filter};
use uuid::Uuid;

use crate::harness::on_both_engines;
use crate::world::{House, World, refund, rent};

fn ids(payments: &[Payment]) -> Vec<PaymentId> {
    payments.iter().map(|payment| payment.terms.id).collect()
}

fn behind(id: PaymentId, limit: i64) -> Page {
    Page { before: id.0, limit }
}

async fn of_lease(world: &World, house: &House, filter: Filter, page: Page) -> Vec<PaymentId> {
    ids(&world.keep(async |tx| payments::list_for_lease(tx, house.lease, filter, page).await).await)
}

async fn of_landlord(world: &World, landlord: UserId, page: Page) -> Vec<PaymentId> {
    ids(&world.keep(async |tx| payments::list_by_landlord(tx, landlord, page).await).await)
}

async fn of_renter(world: &World, renter: UserId, page: Page) -> Vec<PaymentId> {
    ids(&world.keep(async |tx| payments::list_by_renter(tx, renter, page).await).await)
}

#[test]
fn a_leases_payments_are_paged_and_filtered() {
    on_both_engines(async |world| {
        let (house, other) = (world.house().await, world.house().await);
        let first = world.pays(rent(&house, "k1")).await;
        world.pays(rent(&other, "k1")).await;
        let second = world.pays(Initiation { rail: Some(Rail::Wire), ..rent(&house, "k2") }).await;
        let third = world.pays(rent(&house, "k3")).await;
        world.does(second, Command::Submit).await;
        world.does(third, Command::Submit).await;
        let any = Filter::default();

        assert_eq!(of_lease(world, &house, any, Page::first(9)).await, [third, second, first]);
        assert_eq!(of_lease(world, &house, any, Page::first(2)).await, [third, second]);
        assert_eq!(of_lease(world, &house, any, behind(second, 2)).await, [first]);
        assert_eq!(of_lease(world, &house, any, behind(first, 2)).await, []);
        let processing = Filter { status: Some(Status::Processing), rail: None };
        assert_eq!(of_lease(world, &house, processing, Page::first(9)).await, [third, second]);
        let wires = Filter { status: None, rail: Some(Rail::Wire) };
        assert_eq!(of_lease(world, &house, wires, Page::first(9)).await, [second]);
        let both = Filter { status: Some(Status::Pending), rail: Some(Rail::Wire) };
        assert_eq!(of_lease(world, &house, both, Page::first(9)).await, []);
    });
}

#[test]
fn a_landlord_sees_what_was_paid_on_all_leases() {
    on_both_engines(async |world| {
        let (house, other) = (world.house().await, world.house().await);
        let flat = world.lets(house.landlord, &[house.renter]).await;
        let first = world.pays(rent(&house, "k1")).await;
        let second = world.pays(Initiation { lease_id: flat, ..rent(&house, "k2") }).await;
        let third = world.pays(refund(&house, "k3")).await;
        world.pays(rent(&other, "k4")).await;

        assert_eq!(of_landlord(world, house.landlord, Page::first(2)).await, [third, second]);
        assert_eq!(of_landlord(world, house.landlord, behind(second, 2)).await, [first]);
        assert_eq!(of_landlord(world, house.renter, Page::first(9)).await, []);
    });
}

#[test]
fn a_renter_sees_the_own_payments_on_all_leases_in_one_list() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let flatmate = world.joins(Role::Renter).await;
        world.links(flatmate).await;
        let elsewhere = world.lets(house.landlord, &[house.renter, flatmate]).await;
        let mut all = Vec::new();
        for number in 0..3 {
            all.insert(0, world.pays(rent(&house, &format!("a{number}"))).await);
            let there = Initiation { lease_id: elsewhere, ..rent(&house, &format!("b{number}")) };
            all.insert(0, world.pays(there.clone()).await);
            // A flatmate's payment is on the same lease and not one's own.
            world.pays(Initiation { initiated_by: flatmate, ..there }).await;
        }
        // What comes back is one's own too.
        all.insert(0, world.pays(refund(&house, "refund")).await);

        assert_eq!(of_renter(world, house.renter, Page::first(99)).await, all);
        let mut paged = Vec::new();
        let mut page = Page::first(2);
        loop {
            let found = of_renter(world, house.renter, page).await;
            assert!(found.len() <= 2);
            let Some(last) = found.last() else { break };
            page = behind(*last, 2);
            paged.extend(found);
        }
        assert_eq!(paged, all);
        assert_eq!(of_renter(world, flatmate, Page::first(99)).await.len(), 3);
        assert_eq!(of_renter(world, house.landlord, Page::first(9)).await, []);
    });
}

#[test]
fn a_payment_is_found_by_the_parties_of_its_lease_only() {
    on_both_engines(async |world| {
        let (house, stranger) = (world.house().await, world.house().await);
        let id = world.pays(rent(&house, "k1")).await;
        let finds =
            async |caller, id| world.keep(async |tx| payments::find_for_party(tx, caller, id).await).await.is_some();
        assert!(finds(house.renter, id).await && finds(house.landlord, id).await);
        assert!(!finds(stranger.renter, id).await && !finds(stranger.landlord, id).await);
        assert!(!finds(house.renter, PaymentId(Uuid::nil())).await);
        assert!(world.keep(async |tx| payments::find(tx, PaymentId(Uuid::nil())).await).await.is_none());
        assert_eq!(world.history(PaymentId(Uuid::nil())).await, []);
    });
}

#[test]
fn a_set_of_payments_is_loaded_at_once() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let (one, two) = (world.pays(rent(&house, "k1")).await, world.pays(rent(&house, "k2")).await);
        let asked = [two, one, PaymentId(Uuid::nil()), two];
        let mut found = ids(&world.keep(async |tx| payments::find_all(tx, &asked).await).await);
        found.sort();
        assert_eq!(found, [one, two]);
        assert!(world.keep(async |tx| payments::find_all(tx, &[]).await).await.is_empty());
    });
}
