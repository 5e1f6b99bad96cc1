//! The tree over the whole log, as RFC 6962 has it: its root commits to every leaf and to their order, and a few hashes prove
//! that an event is in it, or that a larger tree only adds to a smaller one.
//!
//! Nothing here holds the tree. What is needed of it is asked for in pieces: single leaves, and roots of tiles, the complete
//! subtrees over 256 leaves, over 256 such tiles, and so on.

use sha2::{Digest as _, Sha256};

use crate::digest::Digest;

#[cfg(test)]
mod tests;

/// Leaves below a tile of the lowest level, and tiles below each tile of a higher one.
pub const TILE: u64 = 256;
/// Levels of the tree between two levels of tiles.
const TILE_HEIGHT: u32 = 8;

/// The hash of a leaf.
pub fn leaf(content: &[u8]) -> Digest {
    Digest(Sha256::new().chain_update([0]).chain_update(content).finalize().into())
}

/// The hash of what stands over two subtrees.
pub fn node(left: Digest, right: Digest) -> Digest {
    Digest(Sha256::new().chain_update([1]).chain_update(left.0).chain_update(right.0).finalize().into())
}

/// The root of a tree without leaves.
pub fn empty_root() -> Digest {
    Digest(Sha256::digest([]).into())
}

/// A subtree: its first leaf, and over how many leaves it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Range {
    /// The number of its first leaf, from 0.
    pub start: u64,
    /// How many leaves it has.
    pub size: u64,
}

impl Range {
    /// What stands left and right below its root. A range of one leaf has no such parts.
    fn halves(self) -> (Range, Range) {
        let left = 1 << (u64::BITS - 1 - self.size.saturating_sub(1).max(1).leading_zeros());
        let right = Range { start: self.start + left, size: self.size.saturating_sub(left) };
        (Range { start: self.start, size: left }, right)
    }

    fn contains(self, leaf: u64) -> bool {
        (self.start..self.start + self.size).contains(&leaf)
    }

    fn of_tree(size: u64) -> Range {
        Range { start: 0, size }
    }
}

/// A row of tiles of one level, or of leaves, which are level 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Row {
    /// Over how many tiles of tiles.
    pub level: u32,
    /// The number of the first.
    pub from: u64,
    /// The number behind the last.
    pub until: u64,
}

impl Row {
    /// What number `number` of this row stands over.
    pub fn range(self, number: u64) -> Range {
        let size = 1 << (TILE_HEIGHT * self.level);
        Range { start: number * size, size }
    }
}

/// The leaves and tiles from which the root of a tree with `size` leaves is made, and the path of the leaf number `index`;
/// without such a leaf those for the root alone. However large the tree is, these are a few hundred for each level.
pub fn needed(index: Option<u64>, size: u64) -> Vec<Row> {
    let mut rows = Vec::new();
    for level in 0..u64::BITS / TILE_HEIGHT {
        let whole = size >> (TILE_HEIGHT * level);
        if whole == 0 {
            break;
        }
        let edge = whole / TILE * TILE;
        rows.push(Row { level, from: edge, until: whole });
        let beside = index.map(|index| (index >> (TILE_HEIGHT * level)) / TILE * TILE);
        rows.extend(beside.filter(|from| *from < edge).map(|from| Row { level, from, until: from + TILE }));
    }
    rows.retain(|row| row.from < row.until);
    rows
}

/// The root of a subtree, from pieces of it that are `known`; none if too few are.
pub fn root(range: Range, known: &impl Fn(Range) -> Option<Digest>) -> Option<Digest> {
    if range.size == 0 {
        return Some(empty_root());
    }
    known(range).or_else(|| {
        let (left, right) = (1 < range.size).then(|| range.halves())?;
        Some(node(root(left, known)?, root(right, known)?))
    })
}

/// The hashes that prove that leaf number `index` is in the tree with `size` leaves, from the leaf up.
pub fn inclusion(index: u64, size: u64, known: &impl Fn(Range) -> Option<Digest>) -> Option<Vec<Digest>> {
    let mut range = Some(Range::of_tree(size)).filter(|tree| tree.contains(index))?;
    let mut path = Vec::new();
    while 1 < range.size {
        let (left, right) = range.halves();
        let (inside, beside) = if left.contains(index) { (left, right) } else { (right, left) };
        path.push(root(beside, known)?);
        range = inside;
    }
    path.reverse();
    Some(path)
}

/// The hashes that prove that the tree with `size` leaves begins with that of its first `old` leaves.
pub fn consistency(old: u64, size: u64, known: &impl Fn(Range) -> Option<Digest>) -> Option<Vec<Digest>> {
    let mut range = Some(Range::of_tree(size)).filter(|_| 0 < old && old <= size)?;
    let mut path = Vec::new();
    // The old tree ends inside `range`, until it ends where that does.
    while range.start + range.size != old {
        let (left, right) = range.halves();
        let (inside, beside) = if old <= right.start { (left, right) } else { (right, left) };
        path.push(root(beside, known)?);
        range = inside;
    }
    if 0 < range.start {
        path.push(root(range, known)?);
    }
    path.reverse();
    Some(path)
}

/// Whether `path` proves that leaf number `index` with the hash `leaf` is in the tree with this `size` and `root`.
pub fn is_included(leaf: Digest, index: u64, size: u64, root: Digest, path: &[Digest]) -> bool {
    if size <= index {
        return false;
    }
    let (mut number, mut last, mut hash) = (index, size - 1, leaf);
    for beside in path {
        if last == 0 {
            return false;
        }
        if number % 2 == 1 || number == last {
            hash = node(*beside, hash);
            // At the right edge levels without a neighbour are passed over.
            while number.is_multiple_of(2) && number != 0 {
                (number, last) = (number / 2, last / 2);
            }
        } else {
            hash = node(hash, *beside);
        }
        (number, last) = (number / 2, last / 2);
    }
    last == 0 && hash == root
}

/// Whether `path` proves that the tree with `size` and `root` begins with all of the tree with `old` leaves and `old_root`.
pub fn is_consistent(old: u64, old_root: Digest, size: u64, root: Digest, path: &[Digest]) -> bool {
    if old == 0 || size < old {
        return false;
    }
    if old == size {
        return path.is_empty() && old_root == root;
    }
    // Where the old tree is complete its root is the first hash.
    let mut path = path.iter().copied();
    let Some(first) = (if old.is_power_of_two() { Some(old_root) } else { path.next() }) else { return false };
    let (mut number, mut last) = (old - 1, size - 1);
    while number % 2 == 1 {
        (number, last) = (number / 2, last / 2);
    }
    let (mut old_hash, mut hash) = (first, first);
    for beside in path {
        if last == 0 {
            return false;
        }
        if number % 2 == 1 || number == last {
            (old_hash, hash) = (node(beside, old_hash), node(beside, hash));
            while number.is_multiple_of(2) && number != 0 {
                (number, last) = (number / 2, last / 2);
            }
        } else {
            hash = node(hash, beside);
        }
        (number, last) = (number / 2, last / 2);
    }
    last == 0 && old_hash == old_root && hash == root
}

/// A tile that has become complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tile {
    /// 1 where it stands over leaves.
    pub level: u32,
    /// Its number among those of its level, from 0.
    pub number: u64,
    /// Its root.
    pub root: Digest,
}

impl Tile {
    /// The leaves that it stands over.
    pub fn range(self) -> Range {
        Row { level: self.level, from: self.number, until: self.number + 1 }.range(self.number)
    }
}

/// The right edge of a tree: all that is needed to add leaves to it.
#[derive(Debug, Clone, Default)]
pub struct Edge {
    size: u64,
    /// The roots of the complete subtrees from left to right, each larger than the next.
    roots: Vec<Digest>,
}

impl Edge {
    /// The edge of a tree of `size` leaves, from pieces of it that are `known`.
    pub fn of(size: u64, known: &impl Fn(Range) -> Option<Digest>) -> Option<Edge> {
        let sizes = (0..u64::BITS).rev().map(|bit| 1_u64 << bit).filter(|part| size & part != 0);
        let mut start = 0;
        let mut roots = Vec::new();
        for size in sizes {
            roots.push(root(Range { start, size }, known)?);
            start += size;
        }
        Some(Edge { size, roots })
    }

    /// How many leaves the tree has.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Adds a leaf by its hash, and says which tiles are complete with it.
    pub fn add(&mut self, leaf: Digest) -> Vec<Tile> {
        let (mut hash, mut tiles) = (leaf, Vec::new());
        for height in 1..=self.size.trailing_ones() {
            let Some(left) = self.roots.pop() else { break };
            hash = node(left, hash);
            if height.is_multiple_of(TILE_HEIGHT) {
                let level = height / TILE_HEIGHT;
                tiles.push(Tile { level, number: self.size >> height, root: hash });
            }
        }
        self.roots.push(hash);
        self.size += 1;
        tiles
    }

    /// The root of the tree as it is.
    pub fn root(&self) -> Digest {
        let mut roots = self.roots.iter().rev().copied();
        let Some(last) = roots.next() else { return empty_root() };
        roots.fold(last, |right, left| node(left, right))
    }
}
