//! People, their bank accounts and properties.

use directpay_domain::id::{BankAccountId, PropertyId, UserId};
use directpay_domain::payment::Command;
use directpay_domain::user::Role;
use directpay_store::bank_accounts::BankAccount;
use directpay_store::{Page, bank_accounts, properties, users, work};
use uuid::Uuid;

use crate::harness::on_both_engines;
use crate::world::{World, insert_account, new_user, reason, rent};

#[test]
fn a_person_is_kept_as_entered() {
    on_both_engines(async |world| {
        let mut user = world.person(Role::Landlord, "Ada@Example.com");
        user.phone = Some("+12175550100".into());
        world.keep(async |tx| users::insert(tx, new_user(&user, "ada@example.com")).await).await;

        let found = world.keep(async |tx| users::find(tx, user.id).await).await.unwrap();
        assert_eq!(format!("{found:?}"), format!("{user:?}"));
        let credentials = world.keep(async |tx| users::credentials(tx, "ada@example.com").await).await.unwrap();
        assert_eq!((credentials.id, credentials.password_hash.as_str()), (user.id.0, "$argon2id$"));
        assert!(world.keep(async |tx| users::credentials(tx, "Ada@Example.com").await).await.is_none());
        assert!(world.keep(async |tx| users::find(tx, UserId(Uuid::nil())).await).await.is_none());
    });
}

#[test]
fn an_address_is_one_persons_in_any_spelling() {
    on_both_engines(async |world| {
        let (one, other) =
            (world.person(Role::Renter, "ada@example.com"), world.person(Role::Renter, "ADA@example.com"));
        world.keep(async |tx| users::insert(tx, new_user(&one, "ada@example.com")).await).await;

        let error = world.fail(async |tx| users::insert(tx, new_user(&other, "ada@example.com")).await).await;

        assert!(error.breaks("users_email"));
        assert!(!error.breaks("bank_accounts_linked_once"));
    });
}

#[test]
fn a_person_is_found_by_address_within_a_role() {
    on_both_engines(async |world| {
        let user = world.person(Role::Renter, "ada@example.com");
        world.keep(async |tx| users::insert(tx, new_user(&user, "ada@example.com")).await).await;
        let find = async |role| {
            world.keep(async |tx| users::find_by_email(tx, role, "ada@example.com").await).await.map(|user| user.id)
        };
        assert_eq!(find(Role::Renter).await, Some(user.id));
        assert_eq!(find(Role::Landlord).await, None);
    });
}

#[test]
fn only_people_on_a_common_lease_see_each_other() {
    on_both_engines(async |world| {
        let landlord = world.joins(Role::Landlord).await;
        let (one, flatmate, stranger) =
            (world.joins(Role::Renter).await, world.joins(Role::Renter).await, world.joins(Role::Renter).await);
        let lease = world.lets(landlord, &[one, flatmate]).await;
        let shares = async |a, b| world.keep(async |tx| users::share_a_lease(tx, a, b).await).await;
        for (a, b) in [(landlord, one), (one, landlord), (one, flatmate), (flatmate, one)] {
            assert!(shares(a, b).await);
        }
        assert!(!shares(landlord, stranger).await);
        assert!(!shares(one, stranger).await);

        let seen = async |caller, role, page| -> Vec<UserId> {
            let found = world.keep(async |tx| users::list_on_common_leases(tx, caller, role, page).await).await;
            found.iter().map(|user| user.id).collect()
        };
        assert_eq!(seen(landlord, Role::Renter, Page::first(9)).await, [flatmate, one]);
        assert_eq!(seen(landlord, Role::Renter, Page { before: flatmate.0, limit: 9 }).await, [one]);
        assert_eq!(seen(landlord, Role::Renter, Page::first(1)).await, [flatmate]);
        assert_eq!(seen(one, Role::Renter, Page::first(9)).await, [flatmate]);
        assert_eq!(seen(one, Role::Landlord, Page::first(9)).await, [landlord]);
        assert_eq!(seen(stranger, Role::Renter, Page::first(9)).await, []);

        let renters = world.keep(async |tx| users::renters_of(tx, &[lease]).await).await;
        let named: Vec<_> = renters.iter().map(|renter| (renter.lease_id, renter.id)).collect();
        assert_eq!(named, [(lease.0, one.0), (lease.0, flatmate.0)]);
        assert!(renters[0].full_name.ends_with("in full"));
    });
}

#[test]
fn administrators_page_through_a_role_newest_first() {
    on_both_engines(async |world| {
        let mut renters = Vec::new();
        for _ in 0..3 {
            renters.insert(0, world.joins(Role::Renter).await);
            world.joins(Role::Landlord).await;
        }
        let page = async |page| -> Vec<UserId> {
            let found = world.keep(async |tx| users::list_by_role(tx, Role::Renter, page).await).await;
            found.iter().map(|user| user.id).collect()
        };
        assert_eq!(page(Page::first(2)).await, renters[..2]);
        assert_eq!(page(Page { before: renters[1].0, limit: 2 }).await, renters[2..]);
        assert_eq!(page(Page { before: renters[2].0, limit: 2 }).await, []);
    });
}

#[test]
fn names_come_for_those_who_exist() {
    on_both_engines(async |world| {
        let renter = world.joins(Role::Renter).await;
        let names = world.keep(async |tx| users::names(tx, &[renter, UserId(Uuid::nil()), renter]).await).await;
        assert!(names.iter().all(|named| named.id == renter.0 && named.full_name.ends_with("in full")));
        assert!(!names.is_empty());
        assert!(world.keep(async |tx| users::names(tx, &[]).await).await.is_empty());
    });
}

#[test]
fn a_persons_row_can_be_held() {
    on_both_engines(async |world| {
        let renter = world.joins(Role::Renter).await;
        world.keep(async |tx| users::lock(tx, renter).await).await;
        world.keep(async |tx| users::lock(tx, UserId(Uuid::nil())).await).await;
    });
}

async fn account_of(world: &World, owner: UserId, id: BankAccountId) -> Option<BankAccount> {
    world.keep(async |tx| bank_accounts::find(tx, owner, id).await).await
}

#[test]
fn an_account_is_found_by_its_owner_only() {
    on_both_engines(async |world| {
        let (owner, other) = (world.joins(Role::Renter).await, world.joins(Role::Renter).await);
        let account = BankAccount { is_primary: true, ..world.account(owner) };
        world.keep(async |tx| insert_account(tx, &account, "f1").await).await;

        let found = account_of(world, owner, account.id).await.unwrap();

        assert_eq!(format!("{found:?}"), format!("{account:?}"));
        assert!(account_of(world, other, account.id).await.is_none());
    });
}

#[test]
fn an_account_is_linked_once_while_its_link_is_active_and_usable() {
    on_both_engines(async |world| {
        let (owner, other) = (world.joins(Role::Renter).await, world.joins(Role::Renter).await);
        let link = async |owner| -> Result<BankAccountId, bool> {
            let account = world.account(owner);
            let mut tx = world.db.begin().await.unwrap();
            match insert_account(&mut tx, &account, "the same number").await {
                Ok(()) => tx.commit().await.map(|()| account.id).map_err(|_| false),
                Err(error) => Err(error.breaks("bank_accounts_linked_once")),
            }
        };
        let first = link(owner).await.unwrap();
        assert_eq!(link(owner).await, Err(true));
        link(other).await.unwrap();

        world.keep(async |tx| bank_accounts::deactivate(tx, owner, first).await).await;
        let second = link(owner).await.unwrap();
        let error = world.fail(async |tx| bank_accounts::activate(tx, owner, first).await).await;
        assert!(error.breaks("bank_accounts_linked_once"));

        world.execute("UPDATE bank_accounts SET closed_by = 'R02' WHERE is_active").await;
        let third = link(owner).await.unwrap();
        assert!(second < third);
    });
}

#[test]
fn one_account_is_primary() {
    on_both_engines(async |world| {
        let owner = world.joins(Role::Renter).await;
        let has_primary = async || world.keep(async |tx| bank_accounts::has_primary(tx, owner).await).await;
        assert!(!has_primary().await);
        let (first, second) = (world.links(owner).await, world.links(owner).await);
        assert!(has_primary().await);

        let error = world.fail(async |tx| bank_accounts::mark_primary(tx, owner, second).await).await;
        assert!(matches!(error, directpay_store::StoreError::Database(_)), "the mark was not free");

        world
            .keep(async |tx| {
                bank_accounts::clear_primary(tx, owner).await?;
                bank_accounts::mark_primary(tx, owner, second).await
            })
            .await;
        assert!(!account_of(world, owner, first).await.unwrap().is_primary);
        assert!(account_of(world, owner, second).await.unwrap().is_primary);

        world.execute("UPDATE bank_accounts SET closed_by = 'R02' WHERE is_primary").await;
        assert!(!has_primary().await, "one that is closed is of no use");
    });
}

#[test]
fn nobody_else_changes_ones_accounts() {
    on_both_engines(async |world| {
        let (owner, other) = (world.joins(Role::Renter).await, world.joins(Role::Renter).await);
        let account = world.links(owner).await;
        world
            .keep(async |tx| {
                bank_accounts::deactivate(tx, other, account).await?;
                bank_accounts::clear_primary(tx, other).await
            })
            .await;
        let found = account_of(world, owner, account).await.unwrap();
        assert!(found.is_active && found.is_primary);
    });
}

#[test]
fn the_mark_goes_to_the_oldest_usable_account() {
    on_both_engines(async |world| {
        let owner = world.joins(Role::Renter).await;
        let accounts = [world.links(owner).await, world.links(owner).await, world.links(owner).await];
        let deactivate_and_pass_on = async |id| {
            world
                .keep(async |tx| {
                    bank_accounts::deactivate(tx, owner, id).await?;
                    bank_accounts::mark_oldest_primary(tx, owner).await
                })
                .await;
        };
        // The second was closed by a return: the third comes before it.
        world
            .execute(
                "UPDATE bank_accounts SET closed_by = 'R02' WHERE id = (
                           SELECT id FROM bank_accounts WHERE NOT is_primary ORDER BY id LIMIT 1)",
            )
            .await;
        deactivate_and_pass_on(accounts[0]).await;
        assert!(account_of(world, owner, accounts[2]).await.unwrap().is_primary);
        deactivate_and_pass_on(accounts[2]).await;
        assert!(account_of(world, owner, accounts[1]).await.unwrap().is_primary);
        deactivate_and_pass_on(accounts[1]).await;
        assert_eq!(world.count("SELECT COUNT(*) FROM bank_accounts WHERE is_primary OR is_active").await, 0);

        world.keep(async |tx| bank_accounts::activate(tx, owner, accounts[0]).await).await;
        let again = account_of(world, owner, accounts[0]).await.unwrap();
        assert!(again.is_active && !again.is_primary);
    });
}

#[test]
fn accounts_and_properties_are_paged_newest_first() {
    on_both_engines(async |world| {
        let (owner, other) = (world.joins(Role::Landlord).await, world.joins(Role::Landlord).await);
        let (mut accounts, mut houses) = (Vec::new(), Vec::new());
        for _ in 0..3 {
            accounts.insert(0, world.links(owner).await);
            houses.insert(0, world.builds(owner).await);
            world.links(other).await;
            world.builds(other).await;
        }
        let accounts_on = async |page| -> Vec<BankAccountId> {
            let found = world.keep(async |tx| bank_accounts::list(tx, owner, page).await).await;
            found.iter().map(|account| account.id).collect()
        };
        assert_eq!(accounts_on(Page::first(2)).await, accounts[..2]);
        assert_eq!(accounts_on(Page { before: accounts[1].0, limit: 2 }).await, accounts[2..]);
        let houses_on = async |page| -> Vec<PropertyId> {
            let found = world.keep(async |tx| properties::list(tx, owner, page).await).await;
            found.iter().map(|property| property.id).collect()
        };
        assert_eq!(houses_on(Page::first(2)).await, houses[..2]);
        assert_eq!(houses_on(Page { before: houses[1].0, limit: 2 }).await, houses[2..]);
    });
}

#[test]
fn a_property_is_kept_as_entered() {
    on_both_engines(async |world| {
        let landlord = world.joins(Role::Landlord).await;
        let mut property = world.property(landlord);
        property.unit = Some("3b".into());
        property.name = None;
        world.keep(async |tx| properties::insert(tx, &property).await).await;
        let found = world.keep(async |tx| properties::find(tx, property.id).await).await.unwrap();
        assert_eq!(format!("{found:?}"), format!("{property:?}"));
        assert!(world.keep(async |tx| properties::find(tx, PropertyId(Uuid::nil())).await).await.is_none());
    });
}

#[test]
fn the_bank_gets_sealed_numbers_and_is_told_which_accounts_may_be_used() {
    on_both_engines(async |world| {
        let house = world.house().await;
        let id = world.pays(rent(&house, "k1")).await;
        world.does(id, Command::Submit).await;
        world.does(id, Command::Refuse { attempt: 1, reason: reason("R02") }).await;
        let asked = [house.renters_account, house.landlords_account, house.renters_account];

        let mut accounts = world.keep(async |tx| work::sealed_accounts(tx, &asked).await).await;

        accounts.sort_by_key(|account| account.id);
        let usable: Vec<_> = accounts.iter().map(|account| (account.id, account.is_usable)).collect();
        assert_eq!(usable, [(house.landlords_account, true), (house.renters_account, false)]);
        assert_eq!(accounts[0].number.sealed_number, "c2VhbGVk");
        assert_eq!(accounts[0].number.key_id, "k1");
        assert_eq!(
            (accounts[0].routing_number.as_str(), accounts[0].holder_name.as_str()),
            ("021000021", "Ada Lovelace")
        );
        assert!(accounts[0].token.starts_with("ba_"));
    });
}
