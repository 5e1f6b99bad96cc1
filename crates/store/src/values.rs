//! What goes into a statement and what comes out of it, on either engine.

use rusqlite::ToSql;
use rusqlite::types::ToSqlOutput;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::encode::{Encode, IsNull};
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgArguments, PgRow, PgTypeInfo, Postgres};
use sqlx::{Arguments, FromRow, Type};

/// A row type that both engines can produce: `#[derive(Deserialize, FromRow)]`, or a tuple.
pub trait Row: DeserializeOwned + for<'r> FromRow<'r, PgRow> + Send + Unpin {}
impl<R: DeserializeOwned + for<'r> FromRow<'r, PgRow> + Send + Unpin> Row for R {}

/// A value that both engines can store.
pub trait Bind<'q>: ToSql + Encode<'q, Postgres> + Type<Postgres> {}
impl<'q, T: ToSql + Encode<'q, Postgres> + Type<Postgres>> Bind<'q> for T {}

/// A batch as one JSON value, for statements written with `rows(…)`.
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> ToSql for Json<T> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        let text = serde_json::to_string(&self.0);
        Ok(text.map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?.into())
    }
}

impl<T> Type<Postgres> for Json<T> {
    fn type_info() -> PgTypeInfo {
        <sqlx::types::Json<T> as Type<Postgres>>::type_info()
    }
}

impl<T: Serialize> Encode<'_, Postgres> for Json<T> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        Encode::<Postgres>::encode_by_ref(&sqlx::types::Json(&self.0), buffer)
    }
}

/// A batch and what is bound behind it.
pub(crate) fn after_rows<T: Serialize>(rows: &[T], binds: impl Binds) -> sqlx::Result<PgArguments> {
    let mut arguments = PgArguments::default();
    arguments.add(Json(rows)).map_err(sqlx::Error::Encode)?;
    binds.postgres(arguments)
}

/// Takes one value and its number, counted from 0.
pub type TakeValue<'t> = dyn FnMut(usize, &dyn ToSql) -> rusqlite::Result<()> + 't;

/// The values for `$1`, `$2`, … as a tuple. A single value needs its comma: `(id,)`.
pub trait Binds {
    /// Hands out the values, numbered from `first` on.
    fn sqlite(&self, first: usize, take: &mut TakeValue<'_>) -> rusqlite::Result<()>;
    /// Adds the values to `arguments`.
    fn postgres(self, arguments: PgArguments) -> sqlx::Result<PgArguments>;
}

impl Binds for () {
    fn sqlite(&self, _: usize, _: &mut TakeValue<'_>) -> rusqlite::Result<()> {
        Ok(())
    }
    fn postgres(self, arguments: PgArguments) -> sqlx::Result<PgArguments> {
        Ok(arguments)
    }
}

macro_rules! tuple_binds {
    ($($value:ident)+) => {
        impl<'q, $($value: Bind<'q>),+> Binds for ($($value,)+) {
            #[expect(non_snake_case, reason = "type and value share the macro's name")]
            fn sqlite(&self, first: usize, take: &mut TakeValue<'_>) -> rusqlite::Result<()> {
                let ($($value,)+) = self;
                let values: &[&dyn ToSql] = &[$($value),+];
                values.iter().zip(first..).try_for_each(|(value, number)| take(number, *value))
            }
            #[expect(non_snake_case, reason = "type and value share the macro's name")]
            fn postgres(self, mut arguments: PgArguments) -> sqlx::Result<PgArguments> {
                let ($($value,)+) = self;
                $(arguments.add($value).map_err(sqlx::Error::Encode)?;)+
                Ok(arguments)
            }
        }
    };
}

tuple_binds!(A);
tuple_binds!(A B);
tuple_binds!(A B C);
tuple_binds!(A B C D);
tuple_binds!(A B C D E);
tuple_binds!(A B C D E F);
tuple_binds!(A B C D E F G);
tuple_binds!(A B C D E F G H);
tuple_binds!(A B C D E F G H I);
tuple_binds!(A B C D E F G H I J);
tuple_binds!(A B C D E F G H I J K);
tuple_binds!(A B C D E F G H I J K L);
tuple_binds!(A B C D E F G H I J K L M);
tuple_binds!(A B C D E F G H I J K L M N);
tuple_binds!(A B C D E F G H I J K L M N O);
