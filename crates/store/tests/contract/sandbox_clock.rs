//! The sandbox's clock: one number for all, which only grows.

use directpay_domain::time::DAY_US;
use directpay_store::sandbox_clock;

use crate::harness::{on_both_engines, on_postgres};
use crate::world::World;

async fn ahead_us(world: &World) -> i64 {
    world.keep(async |tx| sandbox_clock::ahead_us(tx).await).await
}

#[test]
fn the_clock_begins_at_the_present_and_is_moved_forward_bit_by_bit() {
    on_both_engines(async |world| {
        assert_eq!(ahead_us(world).await, 0);

        assert_eq!(world.keep(async |tx| sandbox_clock::advance(tx, DAY_US).await).await, DAY_US);
        assert_eq!(world.keep(async |tx| sandbox_clock::advance(tx, 0).await).await, DAY_US);
        assert_eq!(world.keep(async |tx| sandbox_clock::advance(tx, 1).await).await, DAY_US + 1);

        assert_eq!(ahead_us(world).await, DAY_US + 1);
        assert_eq!(world.keep(async |tx| sandbox_clock::hold(tx).await).await, DAY_US + 1);
    });
}

#[test]
fn the_clock_never_goes_back() {
    on_both_engines(async |world| {
        world.keep(async |tx| sandbox_clock::advance(tx, 5).await).await;

        world.fail(async |tx| sandbox_clock::advance(tx, -1).await).await;

        assert_eq!(ahead_us(world).await, 5);
    });
}

#[test]
fn what_many_advance_at_once_is_added_up() {
    on_postgres(async |world| {
        let one = async |by_us| {
            for _ in 0..20 {
                world.keep(async |tx| sandbox_clock::advance(tx, by_us).await).await;
            }
        };
        tokio::join!(one(1), one(100));
        assert_eq!(ahead_us(world).await, 20 * 101);
    });
}

#[test]
fn who_holds_the_clock_moves_it_alone() {
    on_postgres(async |world| {
        let mut holder = world.db.begin().await.unwrap();
        assert_eq!(sandbox_clock::hold(&mut holder).await.unwrap(), 0);
        let other = world.keep(async |tx| sandbox_clock::advance(tx, 1).await);
        let moving = async {
            assert_eq!(sandbox_clock::advance(&mut holder, 10).await.unwrap(), 10);
            holder.commit().await.unwrap();
        };
        assert_eq!(tokio::join!(other, moving).0, 11, "the other one waits");
    });
}
