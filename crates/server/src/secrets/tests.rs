use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::thread;

use directpay_domain::bank_account::AccountNumber;
use directpay_domain::id::BankAccountId;
use directpay_domain::time::Instant;
use directpay_store::bank_accounts::SealedNumber;
use directpay_store::log_tree::Log;
use tempfile::TempDir;

use super::*;
use crate::checkpoints::{self, Signer, Statement};
use crate::clock;
use crate::config::MasterKeyPlace;

const MASTER: &str = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";
const OTHER_MASTER: &str = "ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=";

fn vault() -> Vault {
    Secrets::from_file(&SecretsFile::generate().unwrap(), None).unwrap().into_parts().vault
}

fn now() -> Instant {
    Instant::parse("2026-03-01T12:00:00Z").unwrap()
}

/// A secrets file of its own, and a file for a master key.
struct Kept {
    folder: TempDir,
    file: KeyFile,
}

impl Kept {
    fn new() -> Kept {
        let folder = tempfile::tempdir().unwrap();
        let master = MasterKeyPlace::File(folder.path().join("master"));
        fs::write(folder.path().join("master"), format!("{MASTER}\n")).unwrap();
        fs::set_permissions(folder.path().join("master"), fs::Permissions::from_mode(0o600)).unwrap();
        let place = SecretsPlace::MadeIfMissing(folder.path().join("secrets"));
        let file = KeyFile::at(&SecretsSource { place, master }).unwrap();
        file.make().unwrap();
        Kept { folder, file }
    }

    fn in_clear() -> Kept {
        let kept = Kept::new();
        kept.file.unwrap_keys().unwrap();
        kept
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("secrets")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.path()).unwrap()
    }

    fn masters(&self, lines: &[&str]) {
        fs::write(self.folder.path().join("master"), lines.join("\n")).unwrap();
    }

    fn vault(&self) -> Vault {
        Secrets::from_file(&self.file.read().unwrap(), Some(self.file.clone())).unwrap().into_parts().vault
    }

    fn refusal(&self) -> String {
        format!("{:#}", self.file.read().err().unwrap())
    }

    /// The names of the keys for one use, that in use first.
    fn names(&self, of: KeyUse) -> Vec<String> {
        let entries = self.file.read().unwrap().entries();
        entries.into_iter().filter(|entry| entry.of == of).map(|entry| entry.id).collect()
    }
}

#[test]
fn a_sealed_number_opens_in_its_own_row_only() {
    let vault = vault();
    let (mine, other) = (BankAccountId(clock::new_id()), BankAccountId(clock::new_id()));
    let number = AccountNumber::parse("000123456789").unwrap();
    let sealed = vault.seal(mine, &number).unwrap();
    assert!(!sealed.sealed_number.contains("123456789"));
    assert_eq!(vault.open(mine, &sealed).unwrap().expose(), "000123456789");
    assert!(matches!(vault.open(other, &sealed), Err(VaultError::Unopenable)));
    assert!(matches!(self::vault().open(mine, &sealed), Err(VaultError::UnknownKey { .. })));
}

#[test]
fn what_is_sealed_for_one_purpose_opens_for_no_other() {
    let vault = vault();
    let (id, other) = (clock::new_id(), clock::new_id());
    let sealed = vault.seal_for("letter", id, b"text").unwrap();
    assert_eq!(vault.open_for("letter", id, &sealed).unwrap(), b"text");
    assert!(matches!(vault.open_for("letter", other, &sealed), Err(VaultError::Unopenable)));
    assert!(matches!(vault.open_for("second factor", id, &sealed), Err(VaultError::Unopenable)));
}

#[test]
fn a_changed_record_does_not_open() {
    let vault = vault();
    let id = BankAccountId(clock::new_id());
    let sealed = vault.seal(id, &AccountNumber::parse("000123456789").unwrap()).unwrap();
    let record = BASE64.decode(&sealed.sealed_number).unwrap();
    for place in 0..record.len() {
        let mut changed = record.clone();
        changed[place] ^= 1;
        let sealed = SealedNumber { sealed_number: BASE64.encode(changed), ..sealed.clone() };
        assert!(vault.open(id, &sealed).is_err(), "byte {place}");
    }
}

#[test]
fn a_secrets_file_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("directpay.secrets");
    let place = SecretsPlace::MadeIfMissing(file.clone()).into();
    assert!(load(&place, true).is_err());
    load(&place, false).unwrap();
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
    let refusal = load(&place, true).err().unwrap().to_string();
    assert!(refusal.contains("can be read by others"), "{refusal}");
}

#[test]
fn a_wrapped_file_holds_no_key_in_clear_and_opens_the_same() {
    let kept = Kept::in_clear();
    let id = clock::new_id();
    let sealed = kept.vault().seal_for("letter", id, b"text").unwrap();
    let before: serde_json::Value = serde_json::from_str(&kept.text()).unwrap();
    kept.file.wrap().unwrap();
    let text = kept.text();
    let keys = ["encryption_keys", "signing_keys", "checkpoint_keys"].map(|list| &before[list][0]["key"]);
    for key in keys.into_iter().chain([&before["fingerprint_key"]]) {
        assert!(key.is_string() && !text.contains(key.as_str().unwrap()), "{text}");
    }
    assert_eq!(kept.vault().open_for("letter", id, &sealed).unwrap(), b"text");
    assert_eq!(kept.vault().keyed_hash("a", &["b"]), kept.vault().keyed_hash("a", &["b"]));
    let names: Vec<_> = fs::read_dir(kept.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names.len(), 2, "nothing else stays behind: {names:?}");
    assert_eq!(fs::metadata(kept.path()).unwrap().permissions().mode() & 0o777, 0o600);
    kept.file.unwrap_keys().unwrap();
    assert_eq!(serde_json::from_str::<serde_json::Value>(&kept.text()).unwrap(), before);
}

#[test]
fn without_the_right_master_key_a_wrapped_file_is_worth_nothing() {
    let kept = Kept::new();
    kept.masters(&[OTHER_MASTER]);
    let refusal = kept.refusal();
    assert!(refusal.contains("not the one that was given"), "{refusal}");
    for (master, said) in [("", "is empty"), ("c2hvcnQ=", "has not 32 bytes"), ("no base64!", "is not base64")] {
        kept.masters(&[master]);
        let refusal = kept.refusal();
        assert!(refusal.contains(said) && !refusal.contains("c2hvcnQ"), "{refusal}");
    }
    fs::remove_file(kept.folder.path().join("master")).unwrap();
    assert!(kept.refusal().contains("cannot read the master key"), "{}", kept.refusal());
    let alone = KeyFile::at(&SecretsPlace::MustExist(kept.path()).into()).unwrap();
    let refusal = format!("{:#}", alone.read().err().unwrap());
    assert!(refusal.contains("set DIRECTPAY_MASTER_KEY_FILE"), "{refusal}");
    assert!(alone.introduce(KeyUse::Signing, now()).is_err(), "nor can it be changed");
}

#[test]
fn a_new_master_key_takes_over_while_the_old_one_still_unwraps() {
    let kept = Kept::new();
    let before = kept.text();
    kept.masters(&[OTHER_MASTER, MASTER]);
    kept.file.read().unwrap();
    kept.file.wrap().unwrap();
    kept.masters(&[OTHER_MASTER]);
    kept.file.read().unwrap();
    fs::write(kept.path(), before).unwrap();
    assert!(kept.file.read().is_err(), "a copy from before needs the old one");
}

#[test]
fn a_wrapped_key_that_was_changed_or_moved_is_refused() {
    let kept = Kept::new();
    kept.file.introduce(KeyUse::Encryption, now()).unwrap();
    let whole: serde_json::Value = serde_json::from_str(&kept.text()).unwrap();
    let refuses = |changed: &serde_json::Value, what: &str| {
        fs::write(kept.path(), changed.to_string()).unwrap();
        assert!(kept.file.read().is_err(), "{what}");
    };
    let mut other_name = whole.clone();
    other_name["encryption_keys"][0]["id"] = "enc-00000000".into();
    refuses(&other_name, "another name");
    let mut exchanged = whole.clone();
    exchanged["encryption_keys"][0]["key"] = whole["encryption_keys"][1]["key"].clone();
    refuses(&exchanged, "another's key");
    let mut other_use = whole.clone();
    other_use["fingerprint_key"] = whole["encryption_keys"][0]["key"].clone();
    refuses(&other_use, "another use");
    let wrapped = BASE64.decode(whole["signing_keys"][0]["key"].as_str().unwrap()).unwrap();
    for place in 0..wrapped.len() {
        let mut changed = wrapped.clone();
        changed[place] ^= 1;
        let mut file = whole.clone();
        file["signing_keys"][0]["key"] = BASE64.encode(changed).into();
        refuses(&file, &format!("byte {place}"));
    }
    let mut in_clear = whole.clone();
    in_clear.as_object_mut().unwrap().remove("wrapped_by");
    fs::write(kept.path(), in_clear.to_string()).unwrap();
    assert!(Secrets::from_file(&kept.file.read().unwrap(), None).is_err(), "what is wrapped is no key");
    fs::write(kept.path(), whole.to_string()).unwrap();
    kept.file.read().unwrap();
}

#[test]
fn a_file_that_was_cut_off_or_spoilt_is_refused_without_repeating_a_key() {
    let kept = Kept::in_clear();
    let text = kept.text();
    let key = kept.file.read().unwrap().encryption_keys[0].key.clone().unwrap();
    let twice = text.replace(&kept.names(KeyUse::Signing)[0], &kept.names(KeyUse::Encryption)[0]);
    for length in 0..text.trim_end().len() {
        fs::write(kept.path(), &text[..length]).unwrap();
        assert!(!kept.refusal().contains(&key), "cut off at {length}");
    }
    for spoilt in [text.replace("fingerprint_key", "finger"), text.replace(&key, "AAAA"), twice] {
        fs::write(kept.path(), &spoilt).unwrap();
        let read = kept.file.read().and_then(|file| Secrets::from_file(&file, None).map(drop));
        assert!(!format!("{:#}", read.unwrap_err()).contains(&key), "{spoilt}");
    }
    fs::remove_file(kept.path()).unwrap();
    assert!(kept.refusal().contains("cannot read the secrets file"));
}

#[test]
fn a_key_is_introduced_used_and_gone_and_nobody_is_lost_on_the_way() {
    let kept = Kept::new();
    let number = AccountNumber::parse("000123456789").unwrap();
    let account = BankAccountId(clock::new_id());
    // A process that has not seen the file change yet.
    let (early, old) = (kept.vault(), kept.names(KeyUse::Encryption)[0].clone());
    let new = kept.file.introduce(KeyUse::Encryption, now()).unwrap();
    assert_eq!(kept.vault().sealing_key().unwrap(), old, "what is introduced does not seal");
    assert!(kept.file.read().unwrap().entry(&new).unwrap().state == KeyState::Introduced);
    assert_eq!(kept.file.begin_using(&new, now()).unwrap(), old);
    let sealed = kept.vault().seal(account, &number).unwrap();
    assert_eq!(sealed.key_id, new);
    assert_eq!(early.open(account, &sealed).unwrap().expose(), "000123456789", "it looks at the file again");
    let of_old = SealedNumber { key_id: old.clone(), ..sealed.clone() };
    assert!(matches!(early.open(account, &of_old), Err(VaultError::Unopenable)));

    assert!(kept.file.remove(&new).is_err(), "it is in use");
    kept.file.remove(&old).unwrap();
    assert_eq!(kept.names(KeyUse::Encryption), [new.as_str()]);
    assert!(matches!(kept.vault().open(account, &of_old), Err(VaultError::UnknownKey { .. })));
    assert!(kept.file.begin_using(&old, now()).is_err() && kept.file.remove(&old).is_err());
}

#[test]
fn a_master_key_that_others_can_read_is_refused() {
    let kept = Kept::new();
    let master = kept.folder.path().join("master");
    fs::set_permissions(&master, fs::Permissions::from_mode(0o640)).unwrap();
    assert!(kept.refusal().contains("can be read by others"));
    fs::set_permissions(&master, fs::Permissions::from_mode(0o400)).unwrap();
    kept.file.read().unwrap();
}

#[test]
fn what_a_killed_command_left_is_gone_with_the_next() {
    let kept = Kept::new();
    let left = kept.folder.path().join("secrets.new");
    fs::write(&left, kept.text()).unwrap();
    kept.file.introduce(KeyUse::Encryption, now()).unwrap();
    let mut names: Vec<_> = fs::read_dir(kept.folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["master", "secrets"]);
    assert_eq!(fs::metadata(kept.path()).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn rotations_at_once_lose_no_key() {
    let kept = Kept::new();
    let introduced: Vec<String> = thread::scope(|scope| {
        let introduce = || (0..10).map(|_| kept.file.introduce(KeyUse::Encryption, now()).unwrap()).collect::<Vec<_>>();
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(introduce)).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let names = kept.names(KeyUse::Encryption);
    assert_eq!(names.len(), 41);
    assert!(introduced.iter().all(|id| names.contains(id)));
}

#[test]
fn a_retired_checkpoint_key_checks_and_signs_no_more() {
    let kept = Kept::new();
    let signer = || {
        let secrets = Secrets::from_file(&kept.file.read().unwrap(), None).unwrap();
        Signer::new(&secrets.into_parts().checkpoints).unwrap()
    };
    let root = directpay_domain::digest::Digest([7; 32]);
    let note = signer().sign(Statement { log: Log::Events, size: 300, root, made_at: now() });
    let old = kept.names(KeyUse::Checkpoint)[0].clone();
    let new = kept.file.introduce(KeyUse::Checkpoint, now()).unwrap();
    kept.file.begin_using(&new, now()).unwrap();
    kept.file.remove(&old).unwrap();
    let file = kept.file.read().unwrap();
    assert!(file.entry(&old).unwrap().state == KeyState::PublicOnly);
    assert!(file.checkpoint_keys[1].key.is_none());
    checkpoints::open(&note, signer().verifiers()).unwrap();
    assert!(checkpoints::open(&note, &signer().verifiers()[..1]).is_err());
    assert!(kept.file.begin_using(&old, now()).is_err(), "it can sign nothing");
}

#[test]
fn the_secrets_of_another_database_are_not_taken_up() {
    let (one, other) = (vault(), vault());
    assert!(one.adopt(&other).is_err());
    assert_ne!(one.sealing_key(), other.sealing_key());
}
