//! How co-tenants share what a lease charges.
//!
//! Fixed shares come first, percents of the whole charge next, and the equal ones divide what is left. A charge may be
//! smaller than the rent that the shares were agreed for: then the fixed ones are scaled down to it in proportion and
//! the others pay nothing; percents that do not fit beside the fixed ones are scaled down to what those leave. Where
//! nobody has an equal share and the others do not make up the charge, the rest is spread in proportion to their parts.
//!
//! All of it is one division by weights with one rounding, by largest remainder: a part is less than one minor unit away
//! from what it would be exactly, of equal remainders the earlier share gets the odd unit, and the parts always re-sum.

use std::cmp::Reverse;

use serde::{Deserialize, Serialize};

use crate::invalid::Invalid;
use crate::money::{self, Amount, Currency};
use crate::names::names;

/// A part of a whole in hundredths of a percent, 1 to 10,000. In JSON it is that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "i64", try_from = "i64")]
pub struct BasisPoints(u16);

impl BasisPoints {
    /// How many make the whole: 100 percent.
    pub const WHOLE: i64 = 10_000;

    /// Checks a number from outside; anything but 1 to 10,000 is `out_of_range`.
    pub fn parse(number: i64) -> Result<BasisPoints, Invalid> {
        u16::try_from(number)
            .ok()
            .filter(|points| (1..=BasisPoints::WHOLE).contains(&i64::from(*points)))
            .map(BasisPoints)
            .ok_or_else(|| Invalid::new("out_of_range", "must be from 1 to 10000 basis points"))
    }

    /// The number of basis points, 1 to 10,000.
    pub fn number(self) -> i64 {
        i64::from(self.0)
    }

    /// This part of `whole`, rounded once, half away from zero; `None` if that is nothing.
    pub fn of(self, whole: Amount) -> Option<Amount> {
        let minor = whole.fraction(self.number(), BasisPoints::WHOLE)?;
        Amount::from_minor(minor, whole.currency()).ok()
    }
}

impl From<BasisPoints> for i64 {
    fn from(points: BasisPoints) -> i64 {
        points.number()
    }
}

impl TryFrom<i64> for BasisPoints {
    type Error = Invalid;

    fn try_from(number: i64) -> Result<BasisPoints, Invalid> {
        BasisPoints::parse(number)
    }
}

/// What one co-tenant has agreed to pay of each charge.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(into = "WrittenShare", from = "WrittenShare")]
pub enum Share {
    /// As much as every other equal share of what the fixed ones and the percents leave.
    #[default]
    Equal,
    /// This much, or less where a charge is too small for it.
    Fixed(Amount),
    /// This part of the whole charge.
    Percent(BasisPoints),
}

impl Share {
    /// Its kind.
    pub fn kind(self) -> ShareKind {
        match self {
            Share::Equal => ShareKind::Equal,
            Share::Fixed(_) => ShareKind::Fixed,
            Share::Percent(_) => ShareKind::Percent,
        }
    }
}

/// The kinds of [`Share`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ShareKind {
    /// See [`Share::Equal`].
    Equal,
    /// See [`Share::Fixed`].
    Fixed,
    /// See [`Share::Percent`].
    Percent,
}

names!(ShareKind { Equal = "EQUAL", Fixed = "FIXED", Percent = "PERCENT" });

/// The stored form of a [`Share`].
#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "SCREAMING_SNAKE_CASE")]
enum WrittenShare {
    Equal,
    Fixed {
        #[serde(with = "money::text")]
        amount: Amount,
    },
    Percent {
        basis_points: BasisPoints,
    },
}

impl From<Share> for WrittenShare {
    fn from(share: Share) -> WrittenShare {
        match share {
            Share::Equal => WrittenShare::Equal,
            Share::Fixed(amount) => WrittenShare::Fixed { amount },
            Share::Percent(basis_points) => WrittenShare::Percent { basis_points },
        }
    }
}

impl From<WrittenShare> for Share {
    fn from(written: WrittenShare) -> Share {
        match written {
            WrittenShare::Equal => Share::Equal,
            WrittenShare::Fixed { amount } => Share::Fixed(amount),
            WrittenShare::Percent { basis_points } => Share::Percent(basis_points),
        }
    }
}

/// What each share pays of `total`, in minor units and in the order of `of`. Parts may be zero and sum to `total`.
///
/// `required` if there is no share, `too_many` above [`Amount::PARTS_MAX`], `differs_from_lease` for a fixed share in
/// another currency than `total`. That the shares fit a rent is for [`check`]: here every total is divided somehow.
pub fn shares(total: Amount, of: &[Share]) -> Result<Vec<i64>, Invalid> {
    if let Some(invalid) = unusable(of, total.currency()).into_iter().next() {
        return Err(invalid);
    }
    let total = i128::from(total.minor());
    let weight = Weights::of(total, of);
    Ok(apportion(total, of.iter().map(|share| weight.of_share(*share))))
}

/// Divides `total` in proportion to `weights`, none less than zero; nobody gets anything if all are zero.
pub(crate) fn divide(total: i64, weights: &[i64]) -> Vec<i64> {
    if weights.iter().all(|weight| *weight == 0) {
        return vec![0; weights.len()];
    }
    apportion(total.into(), weights.iter().map(|weight| i128::from(*weight)))
}

/// Every rule that the shares of a lease at `rent` break; empty if they are sound.
///
/// What [`shares`] refuses comes alone, as sums mean nothing then. Else percents above 100 percent together are
/// `over_whole` and fixed shares above the rent together `over_rent`. Shares that are all percents and stay below 100
/// percent, or all fixed and stay below the rent, are `not_whole`.
pub fn check(of: &[Share], rent: Amount) -> Vec<Invalid> {
    let mut broken = unusable(of, rent.currency());
    if !broken.is_empty() {
        return broken;
    }
    let agreed = Agreed::by(of);
    let (whole, rent) = (i128::from(BasisPoints::WHOLE), i128::from(rent.minor()));
    if whole < agreed.points {
        broken.push(Invalid::new("over_whole", "must not be more than 100 percent together"));
    }
    if rent < agreed.fixed {
        broken.push(Invalid::new("over_rent", "must not be more than the rent together"));
    }
    // Of fixed shares and percents beside each other nothing is asked: what they leave is spread.
    let all_percent = agreed.equal == 0 && agreed.fixed == 0;
    let all_fixed = agreed.equal == 0 && agreed.points == 0;
    if all_percent && agreed.points < whole {
        broken.push(Invalid::new("not_whole", "must be 100 percent together"));
    }
    if all_fixed && agreed.fixed < rent {
        broken.push(Invalid::new("not_whole", "must be the rent together"));
    }
    broken
}

/// Why no total in `currency` can be divided by these shares; empty if one can.
fn unusable(of: &[Share], currency: Currency) -> Vec<Invalid> {
    let is_foreign = |share: &Share| match share {
        Share::Fixed(amount) => amount.currency() != currency,
        Share::Equal | Share::Percent(_) => false,
    };
    let mut broken = Vec::new();
    if of.is_empty() {
        broken.push(Invalid::new("required", "must name at least one share"));
    }
    if Amount::PARTS_MAX < of.len() {
        broken.push(Invalid::new("too_many", format!("must be at most {} shares", Amount::PARTS_MAX)));
    }
    if of.iter().any(is_foreign) {
        broken.push(Invalid::new("differs_from_lease", "must be in the lease's currency"));
    }
    broken
}

/// What shares come to together.
struct Agreed {
    /// The fixed ones, in minor units.
    fixed: i128,
    /// The percents, in basis points.
    points: i128,
    /// How many are equal.
    equal: i128,
}

impl Agreed {
    fn by(of: &[Share]) -> Agreed {
        of.iter().fold(Agreed { fixed: 0, points: 0, equal: 0 }, |agreed, share| match share {
            Share::Equal => Agreed { equal: agreed.equal + 1, ..agreed },
            Share::Fixed(amount) => Agreed { fixed: agreed.fixed + i128::from(amount.minor()), ..agreed },
            Share::Percent(points) => Agreed { points: agreed.points + i128::from(points.number()), ..agreed },
        })
    }
}

/// What counts how much in the division of a total. Only the proportions mean something.
struct Weights {
    /// One minor unit of a fixed share.
    fixed_minor: i128,
    /// One basis point.
    point: i128,
    /// One equal share.
    equal: i128,
}

impl Weights {
    /// With [`Amount::PARTS_MAX`] shares of a `total` of 63 bits all weights sum to more than 0 and less than 2^90.
    fn of(total: i128, of: &[Share]) -> Weights {
        let whole = i128::from(BasisPoints::WHOLE);
        let agreed = Agreed::by(of);
        let beside_fixed = total - agreed.fixed;
        // In parts of 1/10,000 of a minor unit.
        let left = beside_fixed * whole - agreed.points * total;
        if beside_fixed <= 0 {
            Weights { fixed_minor: 1, point: 0, equal: 0 }
        } else if left < 0 {
            Weights { fixed_minor: agreed.points, point: beside_fixed, equal: 0 }
        } else {
            // Times the number of equal shares, so that each of them is a whole number.
            let equal_shares = agreed.equal.max(1);
            Weights { fixed_minor: whole * equal_shares, point: total * equal_shares, equal: left }
        }
    }

    fn of_share(&self, share: Share) -> i128 {
        match share {
            Share::Equal => self.equal,
            Share::Fixed(amount) => i128::from(amount.minor()) * self.fixed_minor,
            Share::Percent(points) => i128::from(points.number()) * self.point,
        }
    }
}

/// A part of a total.
struct Part {
    units: i128,
    /// What was cut off, in fractions of a unit that are the same for all parts of one total.
    remainder: i128,
}

/// Divides `total` in proportion to `weights`, by largest remainder. They sum to more than nothing.
fn apportion(total: i128, weights: impl Iterator<Item = i128> + Clone) -> Vec<i64> {
    let whole: i128 = weights.clone().sum();
    let mut parts: Vec<Part> = weights.map(|weight| part(total, weight, whole)).collect();
    let odd_units = total - parts.iter().map(|part| part.units).sum::<i128>();
    let mut by_remainder: Vec<&mut Part> = parts.iter_mut().collect();
    // It is a stable sort: of equal remainders the earlier one stays before the later.
    by_remainder.sort_by_key(|part| Reverse(part.remainder));
    for (part, _) in by_remainder.into_iter().zip(0..odd_units) {
        part.units += 1;
    }
    // None is above the total, which is a number of minor units.
    parts.into_iter().map(|part| i64::try_from(part.units).unwrap_or(i64::MAX)).collect()
}

/// `total * weight / whole`, cut off, for a `total` of 63 bits and weights of 90.
///
/// The product may have more than 127 bits: it is divided as on paper, in two digits of 32 bits.
fn part(total: i128, weight: i128, whole: i128) -> Part {
    const DIGIT: u32 = 32;
    let (high, low) = (total >> DIGIT, total & i128::from(u32::MAX));
    let first = high * weight;
    let second = ((first % whole) << DIGIT) + low * weight;
    Part { units: ((first / whole) << DIGIT) + second / whole, remainder: second % whole }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::Share::Equal;
    use super::*;

    fn usd(minor: i64) -> Amount {
        Amount::from_minor(minor, Currency::USD).unwrap()
    }

    fn fixed(minor: i64) -> Share {
        Share::Fixed(usd(minor))
    }

    fn percent(points: i64) -> Share {
        Share::Percent(BasisPoints::parse(points).unwrap())
    }

    fn codes(of: &[Share], rent: i64) -> Vec<&'static str> {
        check(of, usd(rent)).into_iter().map(|invalid| invalid.code).collect()
    }

    #[rstest]
    #[case(1, Some(1))]
    #[case(10_000, Some(10_000))]
    #[case(0, None)]
    #[case(-1, None)]
    #[case(10_001, None)]
    #[case(65_537, None)]
    #[case(i64::MIN, None)]
    fn basis_points_are_more_than_nothing_and_at_most_the_whole(#[case] number: i64, #[case] expected: Option<i64>) {
        assert_eq!(BasisPoints::parse(number).ok().map(BasisPoints::number), expected);
        assert_eq!(serde_json::from_str::<BasisPoints>(&number.to_string()).ok().map(i64::from), expected);
    }

    #[test]
    fn basis_points_travel_as_their_number() {
        assert_eq!(serde_json::to_string(&BasisPoints::parse(525).unwrap()).unwrap(), "525");
        assert_eq!(BasisPoints::parse(0).unwrap_err().code, "out_of_range");
    }

    #[rstest]
    #[case(150_000, 500, Some(7_500))]
    #[case(10, 500, Some(1))]
    #[case(9, 500, None)]
    #[case(30, 500, Some(2))]
    #[case(1, 10_000, Some(1))]
    #[case(i64::MAX, 10_000, Some(i64::MAX))]
    fn a_part_of_a_sum_is_rounded_half_away_from_zero(
        #[case] minor: i64,
        #[case] points: i64,
        #[case] expected: Option<i64>,
    ) {
        assert_eq!(BasisPoints::parse(points).unwrap().of(usd(minor)).map(Amount::minor), expected);
    }

    #[rstest]
    #[case::three(100_000, vec![Equal; 3], vec![33_334, 33_333, 33_333])]
    #[case::two_odd_cents(100_001, vec![Equal; 3], vec![33_334, 33_334, 33_333])]
    #[case::alone(150_000, vec![Equal], vec![150_000])]
    #[case::a_cent(1, vec![Equal; 3], vec![1, 0, 0])]
    #[case::all_there_is(i64::MAX, vec![Equal; 2], vec![i64::MAX / 2 + 1, i64::MAX / 2])]
    fn equal_shares_differ_by_a_unit_at_most(#[case] total: i64, #[case] of: Vec<Share>, #[case] expected: Vec<i64>) {
        assert_eq!(shares(usd(total), &of).unwrap(), expected);
    }

    #[rstest]
    #[case::fixed_first(100_000, vec![fixed(40_000), Equal, Equal], vec![40_000, 30_000, 30_000])]
    #[case::wherever_it_stands(100_000, vec![Equal, Equal, fixed(40_001)], vec![30_000, 29_999, 40_001])]
    #[case::percent_of_the_whole(100_000, vec![fixed(40_000), percent(5_000), Equal], vec![40_000, 50_000, 10_000])]
    #[case::nothing_is_left(100_000, vec![fixed(50_000), percent(5_000), Equal], vec![50_000, 50_000, 0])]
    #[case::thirds(100, vec![percent(3_333), percent(3_333), percent(3_334)], vec![33, 33, 34])]
    #[case::largest_remainder(10, vec![percent(3_340), percent(3_330), percent(3_330)], vec![4, 3, 3])]
    #[case::not_the_first_but_the_largest(10, vec![percent(3_330), percent(3_330), percent(3_340)], vec![3, 3, 4])]
    #[case::a_tie_goes_to_the_earlier(1, vec![percent(5_000), Equal], vec![1, 0])]
    #[case::a_tie_the_other_way(1, vec![Equal, percent(5_000)], vec![1, 0])]
    #[case::fixed_takes_no_odd_cent(101, vec![fixed(50), percent(2_525), Equal], vec![50, 26, 25])]
    #[case::exactly_fixed(100_000, vec![fixed(60_000), fixed(40_000)], vec![60_000, 40_000])]
    fn shares_are_paid_as_agreed(#[case] total: i64, #[case] of: Vec<Share>, #[case] expected: Vec<i64>) {
        assert_eq!(shares(usd(total), &of).unwrap(), expected);
    }

    #[rstest]
    #[case::in_proportion(5_000, vec![fixed(60_000), fixed(40_000)], vec![3_000, 2_000])]
    #[case::by_largest_remainder(10, vec![fixed(100), fixed(100), fixed(100)], vec![4, 3, 3])]
    #[case::the_others_pay_nothing(5_000, vec![fixed(60_000), percent(1_000), Equal], vec![5_000, 0, 0])]
    #[case::percents_beside_fixed(100, vec![fixed(70), percent(2_000), percent(4_000)], vec![70, 10, 20])]
    #[case::percents_beside_fixed_odd(100, vec![fixed(75), percent(3_000), percent(3_000), Equal], vec![75, 13, 12, 0])]
    #[case::percents_over_the_whole(90, vec![percent(10_000), percent(10_000), percent(10_000)], vec![30, 30, 30])]
    #[case::the_largest(i64::MAX, vec![fixed(i64::MAX), fixed(i64::MAX)], vec![i64::MAX / 2 + 1, i64::MAX / 2])]
    fn shares_that_exceed_a_charge_are_scaled_down(
        #[case] total: i64,
        #[case] of: Vec<Share>,
        #[case] expected: Vec<i64>,
    ) {
        assert_eq!(shares(usd(total), &of).unwrap(), expected);
    }

    #[rstest]
    #[case::fixed(150_000, vec![fixed(60_000), fixed(40_000)], vec![90_000, 60_000])]
    #[case::percents(100_000, vec![percent(2_000), percent(3_000)], vec![40_000, 60_000])]
    #[case::both(100_000, vec![fixed(30_000), percent(2_000)], vec![60_000, 40_000])]
    #[case::one(100_000, vec![percent(1)], vec![100_000])]
    #[case::one_cent_fixed(i64::MAX, vec![fixed(1)], vec![i64::MAX])]
    #[case::largest(i64::MAX, vec![fixed(i64::MAX / 4), percent(2_500)], vec![i64::MAX / 2, i64::MAX / 2 + 1])]
    fn what_nobody_has_agreed_to_is_spread_in_proportion(
        #[case] total: i64,
        #[case] of: Vec<Share>,
        #[case] expected: Vec<i64>,
    ) {
        assert_eq!(shares(usd(total), &of).unwrap(), expected);
    }

    #[test]
    fn what_cannot_be_divided_is_refused() {
        let yen = Amount::from_minor(100, Currency::parse("JPY").unwrap()).unwrap();
        let refused = |of: &[Share]| shares(usd(100), of).unwrap_err().code;

        assert_eq!(refused(&[]), "required");
        assert_eq!(refused(&[Equal; Amount::PARTS_MAX + 1]), "too_many");
        assert_eq!(refused(&[Equal, Share::Fixed(yen)]), "differs_from_lease");
        assert_eq!(shares(usd(i64::MAX), &[percent(10_000); Amount::PARTS_MAX]).unwrap().len(), Amount::PARTS_MAX);
        assert_eq!(codes(&[Share::Fixed(yen), percent(1), percent(10_000)], 50), ["differs_from_lease"]);
    }

    #[rstest]
    #[case(&[Equal, Equal], &[])]
    #[case(&[fixed(100_000)], &[])]
    #[case(&[fixed(60_000), fixed(40_000)], &[])]
    #[case(&[fixed(60_000), fixed(39_999)], &["not_whole"])]
    #[case(&[fixed(60_000), fixed(40_001)], &["over_rent"])]
    #[case(&[fixed(60_000), fixed(39_999), Equal], &[])]
    #[case(&[fixed(100_000), Equal], &[])]
    #[case(&[fixed(100_001), Equal], &["over_rent"])]
    #[case(&[percent(3_333), percent(6_667)], &[])]
    #[case(&[percent(3_333), percent(6_666)], &["not_whole"])]
    #[case(&[percent(3_333), percent(6_668)], &["over_whole"])]
    #[case(&[percent(3_333), percent(6_666), Equal], &[])]
    #[case(&[percent(3_333), percent(6_668), Equal], &["over_whole"])]
    #[case(&[fixed(50_000), percent(2_500)], &[])]
    #[case(&[fixed(100_001), percent(5_000), percent(5_001)], &["over_whole", "over_rent"])]
    #[case(&[], &["required"])]
    fn shares_of_a_rent_of_1000_are_checked(#[case] of: &[Share], #[case] expected: &[&str]) {
        assert_eq!(codes(of, 100_000), expected);
    }

    fn any_minor() -> impl Strategy<Value = i64> {
        prop_oneof![1..=20_i64, 1..=10_000_000_i64, 1..=i64::MAX]
    }

    fn any_share() -> impl Strategy<Value = Share> {
        prop_oneof![Just(Equal), any_minor().prop_map(fixed), (1..=BasisPoints::WHOLE).prop_map(percent)]
    }

    fn any_shares() -> impl Strategy<Value = Vec<Share>> {
        prop::collection::vec(any_share(), 1..12)
    }

    prop_compose! {
        /// A rent and shares of it that leave something for the equal one among them: the others are at most a 24th each.
        fn fitting_shares()(rent in prop_oneof![100..=1_000_i64, 100..=i64::MAX])(
            others in prop::collection::vec(
                prop_oneof![Just(Equal), (1..=rent / 24).prop_map(fixed), (1..=BasisPoints::WHOLE / 24).prop_map(percent)],
                0..12,
            ),
            place in 0..12_usize,
            rent in Just(rent),
        ) -> (i64, Vec<Share>) {
            let mut of = others;
            of.insert(place.min(of.len()), Equal);
            (rent, of)
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn parts_re_sum_and_none_is_negative(total in any_minor(), of in any_shares()) {
            let parts = shares(usd(total), &of).unwrap();

            prop_assert_eq!(parts.len(), of.len());
            prop_assert!(parts.iter().all(|part| 0 <= *part));
            prop_assert_eq!(parts.iter().map(|part| i128::from(*part)).sum::<i128>(), i128::from(total));
        }

        #[test]
        fn the_same_share_pays_the_same_but_for_a_unit_and_the_earlier_pays_it(total in any_minor(), of in any_shares()) {
            let parts = shares(usd(total), &of).unwrap();

            for (at, share) in of.iter().enumerate() {
                for later in (at + 1..of.len()).filter(|later| of[*later] == *share) {
                    prop_assert!((0..=1).contains(&(parts[at] - parts[later])));
                }
            }
        }

        #[test]
        fn the_order_of_shares_moves_a_unit_at_most(
            total in any_minor(),
            (of, shuffled) in any_shares().prop_flat_map(|of| {
                let places: Vec<usize> = (0..of.len()).collect();
                (Just(of), Just(places).prop_shuffle())
            }),
        ) {
            let parts = shares(usd(total), &of).unwrap();
            let moved: Vec<Share> = shuffled.iter().map(|place| of[*place]).collect();

            for (part, place) in shares(usd(total), &moved).unwrap().into_iter().zip(shuffled) {
                prop_assert!((part - parts[place]).abs() <= 1);
            }
        }

        #[test]
        fn equal_shares_are_the_split_of_the_amount(total in any_minor(), count in 1..200_usize) {
            prop_assert_eq!(shares(usd(total), &vec![Equal; count]).unwrap(), usd(total).split(count).unwrap());
        }

        #[test]
        fn what_fits_is_paid_to_the_unit((rent, of) in fitting_shares()) {
            let whole = i128::from(BasisPoints::WHOLE);
            let agreed = Agreed::by(&of);
            let left = (i128::from(rent) - agreed.fixed) * whole - i128::from(rent) * agreed.points;

            prop_assert!(check(&of, usd(rent)).is_empty());
            for (share, part) in of.iter().zip(shares(usd(rent), &of).unwrap()) {
                let paid = i128::from(part) * whole;
                match share {
                    Equal => prop_assert!((paid * agreed.equal - left).abs() < whole * agreed.equal),
                    Share::Fixed(amount) => prop_assert_eq!(part, amount.minor()),
                    Share::Percent(points) => {
                        prop_assert!((paid - i128::from(rent) * i128::from(points.number())).abs() < whole);
                    }
                }
            }
        }

        #[test]
        fn a_product_too_wide_for_any_integer_is_divided_exactly(
            total in 1..=i128::from(i64::MAX),
            weight in 0..=1_i128 << 89,
            more in 1..=1_i128 << 89,
        ) {
            let whole = weight + more;

            let Part { units, remainder } = part(total, weight, whole);

            prop_assert!((0..whole).contains(&remainder) && (0..=total).contains(&units));
            // The equation holds modulo 2^128, and with both sides in range nothing else than the quotient solves it.
            prop_assert_eq!(units.wrapping_mul(whole).wrapping_add(remainder), total.wrapping_mul(weight));
        }
    }
}
