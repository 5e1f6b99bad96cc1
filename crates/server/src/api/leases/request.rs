//! A new lease as it is asked for, and its parsing.

use std::slice;

use directpay_domain::calendar::parse_date;
use directpay_domain::charge::ChargeNotice;
use directpay_domain::co_tenants::AgreedShare;
use directpay_domain::id::{BankAccountId, PropertyId, UserId};
use directpay_domain::invalid::Invalid;
use directpay_domain::lease::{DueDay, FirstPeriod, LastPeriod, LeaseTerms, Proration, RENTERS_MAX};
use directpay_domain::money::{Amount, Currency};
use directpay_domain::rail::Rail;
use jiff::civil::Date;
use serde::Deserialize;
use utoipa::ToSchema;

use super::shares::{ShareInput, parse_shares};
use crate::api::amount::AmountInput;
use crate::api::error::{ApiError, FieldErrors};
use crate::api::extract::parse_id;

/// A new lease.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewLease {
    /// One of the caller's properties.
    #[schema(format = Uuid)]
    property_id: String,
    /// Who rents it. Either this or `renter_ids`.
    #[schema(format = Uuid)]
    renter_id: Option<String>,
    /// Who rents it together, each liable for all of it. Either this or `renter_id`.
    #[schema(min_items = 1, max_items = 20)]
    renter_ids: Option<Vec<String>>,
    /// What they have agreed to pay of each charge; equal shares for those who are not named.
    shares: Option<Vec<ShareInput>>,
    /// What a whole period costs, at most 99,999,999.99.
    rent_amount: AmountInput,
    /// ISO 4217; USD if omitted. No rail carries another one yet.
    #[schema(example = "USD")]
    currency: Option<String>,
    /// The day of the month on which rent is due; a shorter month's last day.
    #[schema(example = 1, minimum = 1, maximum = 31)]
    payment_due_day: i64,
    /// The first day; it may be past.
    #[schema(example = "2026-01-17", format = Date)]
    start_date: String,
    /// The last day; omitted, the lease goes on from month to month.
    #[schema(example = "2026-12-31", format = Date)]
    end_date: Option<String>,
    /// The caller's account that receives the rent; the primary one if omitted.
    #[schema(format = Uuid)]
    payee_account_id: Option<String>,
    /// What the days before the first regular due date cost: PRORATE (default), FULL or NONE.
    #[schema(example = "PRORATE")]
    first_period: Option<String>,
    /// What a shortened last period costs: PRORATE (default) or FULL.
    #[schema(example = "PRORATE")]
    last_period: Option<String>,
    /// How a share is computed: ACTUAL (default), THIRTY_DAY or ANNUAL.
    #[schema(example = "ACTUAL")]
    proration: Option<String>,
    /// How many days before its due date a charge is shown as one of those to be paid; 14 if omitted.
    #[schema(example = 14, minimum = 0, maximum = 90)]
    charge_notice_days: Option<i64>,
}

/// A new lease, parsed; nothing that it names has been looked up.
pub(super) struct Agreement {
    pub(super) property_id: PropertyId,
    /// In the order of their shares.
    pub(super) renters: Vec<UserId>,
    /// The field that names them.
    pub(super) renters_field: &'static str,
    pub(super) shares: Option<Vec<AgreedShare>>,
    pub(super) payee_account_id: Option<BankAccountId>,
    pub(super) terms: LeaseTerms,
    pub(super) charge_notice: ChargeNotice,
}

impl NewLease {
    /// The lease as the domain knows it, or everything that is wrong with it.
    pub(super) fn parse(&self) -> Result<Agreement, ApiError> {
        let mut errors = FieldErrors::default();
        let property_id = errors.take("property_id", parse_id(&self.property_id));
        let renters_field = if self.renter_ids.is_some() { "renter_ids" } else { "renter_id" };
        let renters = errors.take(renters_field, self.parse_renters());
        let payee = errors.take_optional("payee_account_id", self.payee_account_id.as_deref(), parse_id);
        let terms = self.parse_terms(&mut errors);
        let notice = errors.take_optional("charge_notice_days", self.charge_notice_days, ChargeNotice::parse);
        let rent = terms.as_ref().map(|terms| terms.rent);
        let shares = self.shares.as_deref().zip(renters.as_deref()).zip(rent);
        let shares = shares.and_then(|((named, renters), rent)| parse_shares(named, renters, rent, &mut errors));
        match (property_id, renters, payee, terms, notice) {
            (Some(property_id), Some(renters), Some(payee), Some(terms), Some(notice)) if errors.is_empty() => {
                let charge_notice = notice.unwrap_or_default();
                Ok(Agreement {
                    property_id,
                    renters,
                    renters_field,
                    shares,
                    payee_account_id: payee,
                    terms,
                    charge_notice,
                })
            }
            _ => Err(errors.into_error()),
        }
    }

    /// In the order of their ids: it is the one in which shares get odd units.
    fn parse_renters(&self) -> Result<Vec<UserId>, Invalid> {
        let named = match (&self.renter_id, &self.renter_ids) {
            (Some(id), None) => slice::from_ref(id),
            (None, Some(ids)) => ids,
            (None, None) => &[],
            (Some(_), Some(_)) => return Err(Invalid::new("ambiguous", "must not come with renter_id")),
        };
        if named.is_empty() {
            return Err(Invalid::new("required", "name the renter"));
        }
        if RENTERS_MAX < named.len() {
            return Err(Invalid::new("too_many", format!("must be at most {RENTERS_MAX} renters")));
        }
        let mut ids = named.iter().map(|id| parse_id(id)).collect::<Result<Vec<UserId>, _>>()?;
        ids.sort();
        if ids.windows(2).any(|two| two[0] == two[1]) {
            return Err(Invalid::new("duplicate", "must name each renter once"));
        }
        Ok(ids)
    }

    fn parse_terms(&self, errors: &mut FieldErrors) -> Option<LeaseTerms> {
        let starts_on = errors.take("start_date", parse_date(&self.start_date));
        let ends_on = errors.take_optional("end_date", self.end_date.as_deref(), parse_date);
        let rent = self.parse_rent(errors);
        let due_day = errors.take("payment_due_day", DueDay::parse(self.payment_due_day));
        let first_period = errors.take_optional("first_period", self.first_period.as_deref(), FirstPeriod::parse);
        let last_period = errors.take_optional("last_period", self.last_period.as_deref(), LastPeriod::parse);
        let proration = errors.take_optional("proration", self.proration.as_deref(), Proration::parse);
        check_together(starts_on, ends_on.flatten(), rent, errors);
        Some(LeaseTerms {
            starts_on: starts_on?,
            ends_on: ends_on?,
            rent: rent?,
            rent_changes: Vec::new(),
            due_day: due_day?,
            first_period: first_period?.unwrap_or_default(),
            last_period: last_period?.unwrap_or_default(),
            proration: proration?.unwrap_or_default(),
        })
    }

    fn parse_rent(&self, errors: &mut FieldErrors) -> Option<Amount> {
        let given = errors.take_optional("currency", self.currency.as_deref(), Currency::parse)?;
        let currency = given.unwrap_or(Currency::USD);
        if !Rail::ALL.iter().any(|rail| rail.carries(currency)) {
            errors.add("currency", Invalid::new("currency_not_carried", "is not carried by any rail"));
        }
        errors.take("rent_amount", self.rent_amount.parse(currency))
    }
}

/// The rules of [`LeaseTerms::check`], judged even where other fields are broken: harmless values stand in for those.
fn check_together(
    starts_on: Option<Date>,
    ends_on: Option<Date>,
    rent: Option<Amount>,
    errors: &mut FieldErrors,
) -> Option<()> {
    let terms = LeaseTerms {
        starts_on: starts_on.unwrap_or(Date::MIN),
        ends_on,
        rent: rent.or(Amount::from_minor(1, Currency::USD).ok())?,
        rent_changes: Vec::new(),
        due_day: DueDay::parse(1).ok()?,
        first_period: FirstPeriod::default(),
        last_period: LastPeriod::default(),
        proration: Proration::default(),
    };
    for (field, invalid) in terms.check() {
        errors.add(field, invalid);
    }
    Some(())
}
