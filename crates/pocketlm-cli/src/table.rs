//! Tables as Markdown has them.

use comfy_table::{CellAlignment, Table, presets};

/// An empty table; the columns from `numbers` on are flush right.
pub fn table(header: &[&str], numbers: usize) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN).set_header(header);
    for column in table.column_iter_mut().skip(numbers) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    table
}
