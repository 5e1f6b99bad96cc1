//! `admin create`: an administrator, made by whoever has the database.
#![expect(clippy::print_stdout, reason = "says what was made")]

use std::io::{IsTerminal, Read};

use anyhow::{Context, bail};
use directpay_domain::id::UserId;
use directpay_domain::text::Line;
use directpay_domain::trail::{Action, Actor};
use directpay_domain::user::{Email, Password, Role};
use directpay_store::sandbox_clock;
use directpay_store::users::{self, NewUser, User};

use crate::access::passwords::Passwords;
use crate::clock::{self, Clock};
use crate::config::Database;
use crate::running::{self, Company, SchemaPolicy};
use crate::trail;

/// Makes an administrator; the password is read from standard input.
pub async fn create(database: &Database, email: &str, full_name: &str) -> anyhow::Result<()> {
    let email = Email::parse(email).context("the e-mail address")?;
    let full_name = Line::parse(full_name).context("the name")?;
    let password = read_password()?;
    let about = vec![email.as_str().to_owned(), full_name.as_str().to_owned()];
    let password_hash = Passwords::new()?.hash(password, about).await.context("the password")?;
    let opened = running::open(&database.url, Company::Beside, SchemaPolicy::MigrateEmbedded).await?;
    let mut tx = opened.db.begin().await?;
    let user = User {
        id: UserId(clock::new_id()),
        email: email.as_str().to_owned(),
        full_name: full_name.into_string(),
        phone: None,
        role: Role::Admin,
        created_at: Clock::default().business_ahead(sandbox_clock::ahead_us(&mut tx).await?),
    };
    let new = NewUser { user: &user, email_key: &email.key(), password_hash: &password_hash };
    if let Err(error) = users::insert(&mut tx, new).await {
        if error.breaks("users_email") {
            bail!("somebody has signed up with this e-mail address already");
        }
        return Err(error.into());
    }
    trail::done(Action::UserCreated).by(Actor::Command).to(user.id).about(user.id).record(&mut tx).await?;
    tx.commit().await?;
    println!("made administrator {} ({})", user.email, user.id);
    Ok(())
}

fn read_password() -> anyhow::Result<Password> {
    let mut input = std::io::stdin();
    if input.is_terminal() {
        println!("Type the password (it is shown), then Enter and Ctrl-D:");
    }
    let mut text = String::new();
    input.by_ref().take(4096).read_to_string(&mut text).context("cannot read the password from standard input")?;
    Password::parse(text.trim_end_matches(['\r', '\n'])).context("the password")
}
