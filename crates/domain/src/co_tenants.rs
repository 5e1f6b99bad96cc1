//! Who of the renters of a lease has agreed to pay how much of a charge, and who has.
//!
//! All renters are liable for all of it, and anyone may pay anything that is open: shares are what they have agreed among
//! themselves, nothing that a payment is refused for. Whoever pays more than the own share pays for the others, for each in
//! proportion to what this one still has to pay.

use jiff::civil::Date;
use serde::{Deserialize, Serialize};

use crate::id::UserId;
use crate::invalid::Invalid;
use crate::money::Amount;
use crate::share::{self, Share, divide, shares};

/// A renter and this renter's share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct AgreedShare {
    /// Who.
    pub renter_id: UserId,
    /// How much of each charge.
    #[serde(flatten)]
    pub share: Share,
}

/// Shares, and since when they hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShareTerms {
    /// For charges that are due on this day or later, until other shares take over. The first ones hold before it, too.
    pub effective_on: Date,
    /// Of each renter one.
    pub shares: Vec<AgreedShare>,
}

/// The share of each of `renters`, in their order, in charges that are due on `due`. Nothing agreed means equal shares.
pub fn shares_on(terms: &[ShareTerms], renters: &[UserId], due: Date) -> Vec<Share> {
    let holding = terms.iter().rev().find(|terms| terms.effective_on <= due).or(terms.first());
    let share_of = |renter: &UserId| {
        let agreed = holding.and_then(|terms| terms.shares.iter().find(|agreed| agreed.renter_id == *renter));
        agreed.map(|agreed| agreed.share).unwrap_or_default()
    };
    renters.iter().map(share_of).collect()
}

/// What is wrong with `named` as the shares of `renters` in `rent`; else a share for each of them, in their order.
///
/// `not_found` for somebody who is not on the lease, `duplicate` for one who is named twice, and all that
/// [`share::check`] finds. Whoever is not named has an equal share.
pub fn agree(named: &[AgreedShare], renters: &[UserId], rent: Amount) -> Result<Vec<AgreedShare>, Vec<Invalid>> {
    let mut broken = Vec::new();
    if named.iter().any(|agreed| !renters.contains(&agreed.renter_id)) {
        broken.push(Invalid::new("not_found", "must name renters of the lease"));
    }
    let is_repeated =
        |(at, agreed): (usize, &AgreedShare)| named[..at].iter().any(|one| one.renter_id == agreed.renter_id);
    if named.iter().enumerate().any(is_repeated) {
        broken.push(Invalid::new("duplicate", "must name each renter once"));
    }
    let terms = [ShareTerms { effective_on: Date::MIN, shares: named.to_vec() }];
    let agreed = shares_on(&terms, renters, Date::MIN);
    broken.extend(share::check(&agreed, rent));
    if broken.is_empty() {
        let agreed = renters.iter().zip(agreed);
        Ok(agreed.map(|(renter_id, share)| AgreedShare { renter_id: *renter_id, share }).collect())
    } else {
        Err(broken)
    }
}

/// What one renter has given for a charge, in minor units.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Given {
    /// What has arrived.
    pub paid_minor: i64,
    /// What is accepted or moving, and has not arrived.
    pub on_the_way_minor: i64,
}

impl Given {
    /// Both.
    pub fn minor(self) -> i64 {
        self.paid_minor.saturating_add(self.on_the_way_minor)
    }
}

/// How one renter stands with a charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Part {
    /// What this renter has agreed to pay of it, in minor units.
    pub share_minor: i64,
    /// What this renter has given for it.
    pub given: Given,
    /// What is left for this renter to pay, in minor units; all of these together are what is open of the charge.
    pub left_minor: i64,
}

impl Part {
    /// How the renter stands with two charges together.
    pub fn plus(self, other: Part) -> Part {
        Part {
            share_minor: self.share_minor.saturating_add(other.share_minor),
            given: Given {
                paid_minor: self.given.paid_minor.saturating_add(other.given.paid_minor),
                on_the_way_minor: self.given.on_the_way_minor.saturating_add(other.given.on_the_way_minor),
            },
            left_minor: self.left_minor.saturating_add(other.left_minor),
        }
    }
}

/// How the renters stand with a charge of which the landlord wants `owed`, nothing if it was let off.
///
/// `of` and `given` hold one of each renter, in the same order. [`shares`] says what is refused.
pub fn parts(owed: Option<Amount>, of: &[Share], given: &[Given]) -> Result<Vec<Part>, Invalid> {
    let agreed = match owed {
        Some(owed) => shares(owed, of)?,
        None => vec![0; of.len()],
    };
    let missing: Vec<_> = agreed.iter().zip(given).map(|(share, given)| (share - given.minor()).max(0)).collect();
    let given_minor: i64 = given.iter().map(|given| given.minor()).sum();
    let open = (owed.map_or(0, Amount::minor) - given_minor).max(0);
    let left = divide(open, &missing);
    let parts = agreed.into_iter().zip(given).zip(left);
    Ok(parts.map(|((share_minor, given), left_minor)| Part { share_minor, given: *given, left_minor }).collect())
}

/// What is left for each renter of all these charges together, in minor units; the sum is what is open of them.
///
/// Whoever has given more for one charge than the own share of it, and less for another, is quits: money goes to rent first,
/// whatever it was meant for.
pub fn left_of_all(charges: &[Vec<Part>]) -> Vec<i64> {
    let renters = charges.first().map_or(0, Vec::len);
    let whole = |at: usize| charges.iter().filter_map(|parts| parts.get(at).copied()).fold(Part::default(), Part::plus);
    let whole: Vec<Part> = (0..renters).map(whole).collect();
    let missing: Vec<_> = whole.iter().map(|part| (part.share_minor - part.given.minor()).max(0)).collect();
    divide(whole.iter().map(|part| part.left_minor).sum(), &missing)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;
    use crate::money::Currency;
    use crate::share::BasisPoints;

    fn usd(minor: i64) -> Amount {
        Amount::from_minor(minor, Currency::USD).unwrap()
    }

    fn renter(number: u128) -> UserId {
        UserId(uuid::Uuid::from_u128(number))
    }

    fn paid(minor: i64) -> Given {
        Given { paid_minor: minor, on_the_way_minor: 0 }
    }

    fn left(owed: i64, given: [i64; 3]) -> Vec<i64> {
        let parts = parts(Some(usd(owed)), &[Share::Equal; 3], &given.map(paid)).unwrap();
        parts.into_iter().map(|part| part.left_minor).collect()
    }

    #[rstest]
    #[case::nobody_paid(1500, [0, 0, 0], [500, 500, 500])]
    #[case::one_paid(1500, [500, 0, 0], [0, 500, 500])]
    #[case::one_paid_a_part(1500, [200, 0, 500], [300, 500, 0])]
    #[case::one_paid_for_the_others(1500, [1000, 0, 0], [0, 250, 250])]
    #[case::for_each_in_proportion(1500, [700, 300, 0], [0, 143, 357])]
    #[case::one_paid_it_all(1500, [1500, 0, 0], [0, 0, 0])]
    #[case::an_odd_cent(1000, [0, 0, 0], [334, 333, 333])]
    fn what_one_pays_for_the_others_is_not_left_to_them(
        #[case] owed: i64,
        #[case] given: [i64; 3],
        #[case] expected: [i64; 3],
    ) {
        assert_eq!(left(owed, given), expected);
    }

    #[test]
    fn who_paid_the_own_share_of_everything_is_quits_although_it_went_to_rent_alone() {
        let parts = |owed, given: [i64; 2]| parts(Some(usd(owed)), &[Share::Equal; 2], &given.map(paid)).unwrap();
        // Rent 1000 and parking 100: one paid 550, and all of it went to rent.
        assert_eq!(left_of_all(&[parts(1000, [550, 0]), parts(100, [0, 0])]), [0, 550]);
        assert_eq!(left_of_all(&[parts(1000, [1000, 0]), parts(100, [0, 0])]), [0, 100]);
        assert_eq!(left_of_all(&[]), [0; 0]);
    }

    #[test]
    fn nothing_is_left_of_what_was_let_off() {
        let parts = parts(None, &[Share::Equal; 2], &[Given::default(); 2]).unwrap();
        assert!(parts.iter().all(|part| part.share_minor == 0 && part.left_minor == 0));
    }

    #[test]
    fn the_shares_of_its_due_date_hold_for_a_charge() {
        let (one, other) = (renter(1), renter(2));
        let terms = |effective_on, minor| ShareTerms {
            effective_on,
            shares: vec![AgreedShare { renter_id: other, share: Share::Fixed(usd(minor)) }],
        };
        let terms = [terms(date(2026, 2, 1), 100), terms(date(2026, 6, 1), 200)];
        let of_other = |due| shares_on(&terms, &[one, other], due)[1];
        assert_eq!(of_other(date(2026, 1, 1)), Share::Fixed(usd(100)));
        assert_eq!(of_other(date(2026, 5, 31)), Share::Fixed(usd(100)));
        assert_eq!(of_other(date(2026, 6, 1)), Share::Fixed(usd(200)));
        assert_eq!(shares_on(&terms, &[one, other], date(2026, 6, 1))[0], Share::Equal);
        assert_eq!(shares_on(&[], &[one, other], date(2026, 6, 1)), [Share::Equal; 2]);
    }

    #[test]
    fn all_that_is_wrong_with_shares_is_said_at_once() {
        let half = |renter_id| AgreedShare { renter_id, share: Share::Percent(BasisPoints::parse(6_000).unwrap()) };
        let codes = |named: &[AgreedShare]| match agree(named, &[renter(1), renter(2)], usd(1000)) {
            Ok(agreed) => agreed.iter().map(|agreed| agreed.share.kind().name()).collect(),
            Err(broken) => broken.into_iter().map(|invalid| invalid.code).collect::<Vec<_>>(),
        };
        assert_eq!(codes(&[]), ["EQUAL", "EQUAL"]);
        assert_eq!(codes(&[half(renter(2))]), ["EQUAL", "PERCENT"]);
        assert_eq!(codes(&[half(renter(1)), half(renter(2))]), ["over_whole"]);
        assert_eq!(codes(&[half(renter(3)), half(renter(1)), half(renter(1))]), ["not_found", "duplicate"]);
    }

    #[test]
    fn a_share_is_stored_under_the_name_of_its_kind() {
        let agreed = |share| AgreedShare { renter_id: renter(1), share };
        let texts = [Share::Equal, Share::Fixed(usd(60_000)), Share::Percent(BasisPoints::parse(3_333).unwrap())]
            .map(|share| serde_json::to_string(&agreed(share)).unwrap());
        insta::assert_snapshot!(texts.join("\n"), @r#"
        {"renter_id":"00000000-0000-0000-0000-000000000001","kind":"EQUAL"}
        {"renter_id":"00000000-0000-0000-0000-000000000001","kind":"FIXED","amount":"600.00 USD"}
        {"renter_id":"00000000-0000-0000-0000-000000000001","kind":"PERCENT","basis_points":3333}
        "#);
        for text in texts {
            let read: AgreedShare = serde_json::from_str(&text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), text);
        }
    }

    proptest! {
        #[test]
        fn what_is_left_for_each_is_what_is_open(owed in 1_i64..1_000_000, weights in prop::collection::vec(0_i64..100, 1..6)) {
            // What the renters gave: any parts of any part of it.
            let whole: i64 = weights.iter().sum::<i64>() + 1;
            let given: Vec<_> = weights.iter().map(|weight| paid(owed * weight / whole)).collect();
            let parts = parts(Some(usd(owed)), &vec![Share::Equal; weights.len()], &given).unwrap();
            let open = owed - given.iter().map(|given| given.minor()).sum::<i64>();
            prop_assert_eq!(parts.iter().map(|part| part.left_minor).sum::<i64>(), open);
            for part in parts {
                prop_assert!(0 <= part.left_minor);
                prop_assert!(part.left_minor <= (part.share_minor - part.given.minor()).max(0));
            }
        }
    }
}
