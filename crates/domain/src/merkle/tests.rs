//! The published vectors, an independent implementation, and what nobody may be able to prove.

use std::collections::HashMap;

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use ct_merkle::{ConsistencyProof, InclusionProof};
use proptest::prelude::*;
use sha2::digest::Output;

use super::*;

/// The leaves that tests of Certificate Transparency use, and the roots of their first one, two … eight.
const LEAVES: [&[u8]; 8] = [
    b"",
    b"\x00",
    b"\x10",
    b"\x20\x21",
    b"\x30\x31",
    b"\x40\x41\x42\x43",
    b"\x50\x51\x52\x53\x54\x55\x56\x57",
    b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
];
const ROOTS: [&str; 8] = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
];

/// Leaves and tiles as a database keeps them.
#[derive(Default)]
struct Stored {
    pieces: HashMap<Range, Digest>,
    edge: Edge,
}

impl Stored {
    fn with(leaves: u64) -> Stored {
        let mut stored = Stored::default();
        (0..leaves).for_each(|number| stored.add(&number.to_be_bytes()));
        stored
    }

    fn add(&mut self, content: &[u8]) {
        let hash = leaf(content);
        self.pieces.insert(Range { start: self.edge.size(), size: 1 }, hash);
        self.pieces.extend(self.edge.add(hash).into_iter().map(|tile| (tile.range(), tile.root)));
    }

    /// Only what is said to be needed.
    fn only(&self, rows: &[Row]) -> HashMap<Range, Digest> {
        let ranges = rows.iter().flat_map(|row| (row.from..row.until).map(|number| row.range(number)));
        ranges.map(|range| (range, self.pieces[&range])).collect()
    }
}

fn independent(leaves: u64) -> MemoryBackedTree<Sha256, [u8; 8]> {
    let mut tree = MemoryBackedTree::new();
    (0..leaves).for_each(|number| tree.push(number.to_be_bytes()));
    tree
}

fn outputs(path: &[Digest]) -> Vec<Output<Sha256>> {
    path.iter().map(|digest| digest.0.into()).collect()
}

#[test]
fn the_published_roots_come_out() {
    assert_eq!(empty_root().to_string(), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    let mut stored = Stored::default();
    assert_eq!(stored.edge.root(), empty_root());
    for (content, expected) in LEAVES.iter().zip(ROOTS) {
        stored.add(content);
        assert_eq!(stored.edge.root().to_string(), expected);
    }
}

#[test]
fn the_published_paths_come_out() {
    let mut stored = Stored::default();
    LEAVES.iter().for_each(|content| stored.add(content));
    let known = |range: Range| stored.pieces.get(&range).copied();
    let text = |path: Option<Vec<Digest>>| path.unwrap().iter().map(|hash| hash.to_string()[..8].to_owned()).collect();
    let of: Vec<String> = text(inclusion(5, 8, &known));
    assert_eq!(of, ["bc1a0643", "ca854ea1", "d37ee418"]);
    let of: Vec<String> = text(consistency(6, 8, &known));
    assert_eq!(of, ["0ebc5d34", "ca854ea1", "d37ee418"]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn paths_from_tiles_satisfy_another_implementation(size in 1_u64..1_500, index in 0_u64..1_500, old in 1_u64..1_500) {
        let (index, old) = (index % size, old % size + 1);
        let (stored, other) = (Stored::with(size), independent(size));
        let theirs = Digest::from_bytes(other.root().as_bytes()).unwrap();
        prop_assert_eq!(stored.edge.root(), theirs);

        let pieces = stored.only(&needed(Some(index), size));
        let known = |range: Range| pieces.get(&range).copied();
        let whole = root(Range::of_tree(size), &known).unwrap();
        prop_assert_eq!(whole, stored.edge.root());
        let path = inclusion(index, size, &known).unwrap();
        let content = index.to_be_bytes();
        prop_assert!(is_included(leaf(&content), index, size, whole, &path));
        let theirs = InclusionProof::from_digests(&outputs(&path));
        prop_assert!(other.root().verify_inclusion(&content, index, &theirs).is_ok());

        let mut pieces = stored.only(&needed(Some(old - 1), size));
        pieces.extend(stored.only(&needed(None, old)));
        let known = |range: Range| pieces.get(&range).copied();
        let path = consistency(old, size, &known).unwrap();
        let before = independent(old);
        let old_root = Digest::from_bytes(before.root().as_bytes()).unwrap();
        prop_assert!(is_consistent(old, old_root, size, whole, &path));
        if old < size {
            let theirs = ConsistencyProof::from_digests(&outputs(&path));
            prop_assert!(other.root().verify_consistency(&before.root(), &theirs).is_ok());
        }
    }

    #[test]
    fn a_tree_goes_on_from_its_pieces(size in 0_u64..800, more in 0_u64..600) {
        let stored = Stored::with(size);
        let pieces = stored.only(&needed(None, size));
        let mut edge = Edge::of(size, &|range| pieces.get(&range).copied()).unwrap();
        (size..size + more).for_each(|number| { edge.add(leaf(&number.to_be_bytes())); });
        prop_assert_eq!(edge.root(), Stored::with(size + more).edge.root());
    }

    #[test]
    fn nothing_else_is_proven(size in 2_u64..300, index in 0_u64..300, flipped in 0_usize..32, place in 0_usize..12) {
        let index = index % size;
        let stored = Stored::with(size);
        let known = |range: Range| stored.pieces.get(&range).copied();
        let whole = stored.edge.root();
        let hash = leaf(&index.to_be_bytes());
        let path = inclusion(index, size, &known).unwrap();
        prop_assert!(!is_included(leaf(b"another"), index, size, whole, &path));
        prop_assert!(!is_included(hash, (index + 1) % size, size, whole, &path));
        prop_assert!(!is_included(hash, index, size, whole, &path[1..]));
        prop_assert!(!is_included(hash, index, size, whole, &[path.clone(), vec![hash]].concat()));
        let mut changed = path.clone();
        let place = place % changed.len();
        changed[place].0[flipped] ^= 1;
        prop_assert!(!is_included(hash, index, size, whole, &changed));

        // Another history of the same length.
        let path = consistency(index + 1, size, &known).unwrap();
        let mut other = Stored::default();
        (0..=index).for_each(|number| other.add(&(number + 1).to_be_bytes()));
        prop_assert!(!is_consistent(index + 1, other.edge.root(), size, whole, &path));
        prop_assert!(!is_consistent(index + 1, Stored::with(index + 1).edge.root(), size, hash, &path));
    }
}
