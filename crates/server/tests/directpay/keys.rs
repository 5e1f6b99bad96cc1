//! Keys that come and go while DirectPay runs.

use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64URL;
use directpay_server::clock;
use directpay_server::config::SecretsPlace;
use directpay_server::reseal;
use directpay_server::secrets::{self, KeyFile, KeyState, KeyUse, Vault};
use directpay_store::mail::{self, NewMail};
use directpay_store::sealed::{self, Column};
use directpay_store::{Db, SealedText};
use jsonwebtoken::{DecodingKey, Validation, decode, decode_header, jwk};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::harness::{GET, PASSWORD, TestApp, WITHOUT_WORKERS, on_both, on_both_with, on_sqlite, until};

const JWKS: &str = "/.well-known/jwks.json";
/// When mail is due that shall stay where it is.
const NEVER_US: i64 = i64::MAX / 2;

/// The secrets file at `path`.
pub(crate) fn key_file(path: &Path) -> KeyFile {
    KeyFile::at(&SecretsPlace::MustExist(path.to_owned()).into()).unwrap()
}

/// A vault with the keys of the file at `path` alone.
pub(crate) fn vault_of(path: &Path) -> Vault {
    secrets::load(&SecretsPlace::MustExist(path.to_owned()).into(), true).unwrap().into_parts().vault
}

/// The key in use.
pub(crate) fn in_use(file: &KeyFile, of: KeyUse) -> String {
    let entries = file.read().unwrap().entries();
    entries.into_iter().find(|entry| entry.of == of && entry.state == KeyState::InUse).unwrap().id
}

/// Writes mails that wait for a very long time.
pub(crate) async fn write_mails(db: &Db, vault: &Vault, count: usize) {
    let sealed = (0..count).map(|number| {
        let id = clock::new_id();
        (id, vault.seal_for("letter", id, format!("letter {number}").as_bytes()).unwrap())
    });
    // Others want to write as well.
    for letters in sealed.collect::<Vec<_>>().chunks(100) {
        let mut tx = db.begin().await.unwrap();
        for (id, letter) in letters {
            mail::insert(&mut tx, NewMail { id: *id, letter, now_us: NEVER_US, expires_us: NEVER_US }).await.unwrap();
        }
        tx.commit().await.unwrap();
    }
}

/// Of each sealed column, how many texts it has and how many of them a vault opens, under whatever name of these.
pub(crate) async fn opened(db: &Db, vault: &Vault, names: &[String]) -> Vec<(&'static str, usize, usize)> {
    let purposes = ["", "webhook", "webhook", "second factor", "letter"];
    let mut told = Vec::new();
    for (column, purpose) in Column::ALL.into_iter().zip(purposes) {
        let mut tx = db.begin().await.unwrap();
        let (mut texts, mut opened) = (0, 0);
        for key_id in sealed::key_ids(&mut tx, column).await.unwrap() {
            for row in sealed::hold(&mut tx, column, &key_id, Uuid::nil(), i64::MAX).await.unwrap() {
                texts += 1;
                let as_named = [&key_id].into_iter().chain(names);
                let opens = |name: &String| {
                    let text = SealedText { sealed: row.sealed.clone(), key_id: name.clone() };
                    vault.open_for(purpose, row.id, &text).is_ok()
                };
                opened += usize::from(as_named.into_iter().any(opens));
            }
        }
        // Dropped, it would hold the rows for a moment longer, and the next column may be in the same ones.
        tx.commit().await.unwrap();
        told.push((column.name(), texts, opened));
    }
    told
}

fn secrets_of(app: &TestApp) -> std::path::PathBuf {
    app.folder.path().join("test.secrets")
}

async fn key_set(app: &TestApp) -> Value {
    app.call(GET, JWKS).send().await.must(200).body.clone()
}

async fn kids(app: &TestApp) -> Vec<String> {
    let set = key_set(app).await;
    set["keys"].as_array().unwrap().iter().map(|key| key["kid"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn signing_keys_rotate_and_old_tokens_live_until_their_key_is_gone() {
    on_both(async |app| {
        let file = key_file(&secrets_of(app));
        let renter = app.sign_up("RENTER").await;
        let old = in_use(&file, KeyUse::Signing);
        let kid = |token: &str| decode_header(token).unwrap().kid.unwrap();
        assert_eq!((kid(&renter.token), kids(app).await), (old.clone(), vec![old.clone()]));

        let new = file.introduce(KeyUse::Signing, app.clock.business()).unwrap();
        until("the new key is known", async || kids(app).await.len() == 2).await;
        let again = app.sign_in(&renter.email, PASSWORD, renter.id.clone()).await;
        assert_eq!(kid(&again.token), old, "it is not used yet");

        file.begin_using(&new, app.clock.business()).unwrap();
        until("the new key is used", async || kids(app).await == [new.clone(), old.clone()]).await;
        let later = app.sign_in(&renter.email, PASSWORD, renter.id.clone()).await;
        assert_eq!(kid(&later.token), new);
        for visitor in [&renter, &again, &later] {
            visitor.get("/api/v1/users/me").await.must(200);
        }

        file.remove(&old).unwrap();
        until("the old key is gone", async || kids(app).await.len() == 1).await;
        renter.get("/api/v1/users/me").await.refuses(401, "unauthorized");
        later.get("/api/v1/users/me").await.must(200);
    });
}

#[test]
fn others_verify_tokens_by_the_published_keys() {
    on_sqlite(async |app| {
        let renter = app.sign_up("RENTER").await;
        let answer = app.call(GET, JWKS).send().await.must(200);
        assert_eq!(answer.header("cache-control"), Some("public, max-age=60"));
        let set: jwk::JwkSet = serde_json::from_value(answer.body.clone()).unwrap();
        let header = decode_header(&renter.token).unwrap();
        let key = set.find(&header.kid.unwrap()).unwrap();
        let mut validation = Validation::new(header.alg);
        validation.set_audience(&["directpay-api"]);
        let claims = decode::<Value>(&renter.token, &DecodingKey::from_jwk(key).unwrap(), &validation).unwrap().claims;
        assert_eq!(claims["sub"], renter.id);

        let keys = answer.body["keys"].as_array().unwrap();
        for key in keys {
            let names: Vec<_> = key.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(names, ["alg", "crv", "kid", "kty", "use", "x"], "nothing private");
            assert_eq!(BASE64URL.decode(key["x"].as_str().unwrap()).unwrap().len(), 32);
        }
    });
}

#[test]
fn a_secrets_file_that_goes_while_it_runs_is_told_and_nothing_stops() {
    on_both(async |app| {
        let path = secrets_of(app);
        let whole = fs::read(&path).unwrap();
        let unreadable = async || app.metrics().await.of("directpay_key_file_unreadable", &[]);
        let ready = async || app.call(GET, "/ready").send().await.must(200).body.clone();
        let home = app.home().await;
        let spoilings = [None, Some(&b"{"[..]), Some(&whole[..whole.len() / 2])];
        for (spoilt, number) in spoilings.into_iter().zip(["000123456780", "000123456781", "000123456782"]) {
            match spoilt {
                None => fs::remove_file(&path).unwrap(),
                Some(text) => fs::write(&path, text).unwrap(),
            }
            let warned = json!({"status": "ok", "warnings": ["the secrets file cannot be read"]});
            until("it is told", async || ready().await == warned && unreadable().await == 1.0).await;
            home.renter.link_account(number).await;
            app.sign_in(&home.renter.email, PASSWORD, home.renter.id.clone()).await;
            // Others must not make one in its place.
            assert_eq!(path.exists(), spoilt.is_some());
            fs::write(&path, &whole).unwrap();
            set_private(&path);
            until("it is read again", async || ready().await == json!({"status": "ok"}) && unreadable().await == 0.0)
                .await;
        }
        let payment = home.paid("after-all").await;
        home.renter.wait_until(&payment.id(), "COMPLETED").await;
    });
}

fn set_private(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn everything_sealed_gets_under_the_new_key_and_the_old_one_opens_nothing() {
    on_both_with(WITHOUT_WORKERS, async |app| {
        let path = secrets_of(app);
        let (file, copy) = (key_file(&path), app.folder.path().join("copy"));
        let home = app.home().await;
        let hook = home.landlord.post("/api/v1/webhooks/", &json!({"url": "https://example.com/hook"})).await.must(201);
        let rotate = format!("/api/v1/webhooks/{}/rotate-secret", hook.id());
        home.landlord.post(&rotate, &Value::Null).await.must(200);
        home.renter.post("/api/v1/users/me/second-factor", &json!({"password": PASSWORD})).await.must(201);
        let vault = &app.running.app.vault;
        write_mails(app.db(), vault, 450).await;
        let old = in_use(&file, KeyUse::Encryption);
        fs::copy(&path, &copy).unwrap();
        let old_vault = vault_of(&copy);
        let before = opened(app.db(), &old_vault, &[]).await;
        assert!(before.iter().all(|(_, texts, opened)| 0 < *texts && texts == opened), "{before:?}");

        let new = file.introduce(KeyUse::Encryption, app.clock.business()).unwrap();
        file.begin_using(&new, app.clock.business()).unwrap();
        until("the new key is used", async || vault.sealing_key().as_ref() == Some(&new)).await;
        assert!(!reseal::retire(app.db(), &old, 1).await.unwrap(), "records stand under it");
        let resealed = reseal::reseal(app.db(), vault, |_| {}).await.unwrap();
        let texts: usize = before.iter().map(|(_, texts, _)| texts).sum();
        assert_eq!((resealed.records, resealed.unopenable, resealed.left), (texts as u64, 0, 0));
        assert!(reseal::retire(app.db(), &old, 1).await.unwrap());
        file.remove(&old).unwrap();

        let by_old = opened(app.db(), &old_vault, std::slice::from_ref(&old)).await;
        assert!(by_old.iter().all(|(_, texts, opened)| 0 < *texts && *opened == 0), "{by_old:?}");
        let by_new = opened(app.db(), &vault_of(&path), &[]).await;
        assert_eq!(by_new, before);
        assert_eq!(reseal::reseal(app.db(), vault, |_| {}).await.unwrap().records, 0);
        fs::remove_file(&copy).unwrap();
    });
}

#[test]
fn what_cannot_be_opened_is_named_and_left_as_it_is() {
    on_both_with(WITHOUT_WORKERS, async |app| {
        let file = key_file(&secrets_of(app));
        app.home().await;
        let stranger = SealedText { sealed: "AAAA".into(), key_id: "enc-stranger".into() };
        let id = clock::new_id();
        let mut tx = app.db().begin().await.unwrap();
        mail::insert(&mut tx, NewMail { id, letter: &stranger, now_us: NEVER_US, expires_us: NEVER_US }).await.unwrap();
        tx.commit().await.unwrap();
        let new = file.introduce(KeyUse::Encryption, app.clock.business()).unwrap();
        file.begin_using(&new, app.clock.business()).unwrap();
        let missing = async || app.metrics().await.of("directpay_keys_missing", &[]);
        until("it is told", async || missing().await == 1.0).await;
        let ready = app.call(GET, "/ready").send().await.must(200);
        assert_eq!(ready["warnings"], json!(["the secrets file lacks keys of stored records"]));
        let resealed = reseal::reseal(app.db(), &app.running.app.vault, |_| {}).await.unwrap();
        assert_eq!((resealed.unopenable, resealed.left), (1, 0));
        let named = &resealed.described[0];
        assert!(named.contains("outgoing_mail") && named.contains(&id.to_string()) && named.contains("enc-stranger"));
        let mut tx = app.db().begin().await.unwrap();
        let row = sealed::hold(&mut tx, Column::Mail, "enc-stranger", Uuid::nil(), 9).await.unwrap();
        assert_eq!(row[0].sealed, "AAAA");
        tx.execute("DELETE FROM outgoing_mail WHERE id = $1", (id,)).await.unwrap();
        tx.commit().await.unwrap();
    });
}
