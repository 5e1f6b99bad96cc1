//! People's accounts: passwords, addresses, second factors, and the mail about them.

mod email;
mod mail;
mod password;
mod second_factor;

use crate::harness::TestApp;

/// Whatever failed has failed so often that a slow machine cannot sit the wait out.
async fn make_waits_long(app: &TestApp) {
    let mut tx = app.db().begin().await.unwrap();
    assert!(0 < tx.execute("UPDATE sign_in_failures SET failures = failures + 100", ()).await.unwrap());
    tx.commit().await.unwrap();
}
