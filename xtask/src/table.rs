//! How tables look in a terminal.

use comfy_table::{Table, presets};

/// An empty table under `header`.
pub fn new<const WIDTH: usize>(header: [&str; WIDTH]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::UTF8_FULL_CONDENSED).set_header(header);
    table
}
