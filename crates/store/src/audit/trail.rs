//! Nothing of the trail was changed, removed, added or moved: each entry follows on the one before it, and the tree over all of
//! them is the one that was signed.

use directpay_domain::digest::Digest;

use super::log::{Kept, Tree};
use super::{Check, PAGE};
use crate::db::Tx;
use crate::error::StoreError;
use crate::log_tree::{Checkpoint, Log};
use crate::trail::{self, Placed};

/// Goes through the whole trail and compares it with itself, with the stored checkpoints, of which `objection` may say what is
/// wrong with one, and with those that were `kept` elsewhere.
pub(super) async fn check(
    tx: &mut Tx,
    kept: &[Kept],
    objection: impl Fn(&Checkpoint) -> Option<String>,
) -> Result<Vec<Check>, StoreError> {
    let mut chain = Check::new("every entry of the trail follows on the one before it");
    let mut tree = Tree::new(Log::Trail, kept);
    let (mut after, mut before) = (0, Digest::ZERO);
    loop {
        let page = trail::page(tx, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.position;
        for Placed { position, entry, hash } in page {
            let follows = hash == Some(entry.hash(before));
            chain.note((!follows).then(|| {
                format!(
                    "entry {} at position {position} was changed, or does not follow on the one before it",
                    entry.id
                )
            }));
            before = hash.unwrap_or(Digest::ZERO);
            if tree.reach(tx, position, &objection).await? {
                tree.add(tx, before, &objection).await?;
            }
        }
    }
    tree.end(tx, &objection).await?;
    Ok(vec![chain, tree.check])
}
