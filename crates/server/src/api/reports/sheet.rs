//! A report as a table of cells: for spreadsheets and for the terminal.

use crate::api::csv_file::text_cell;

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its name.
    pub name: &'static str,
    /// Whether it stands in the terminal, too, where there is little room.
    pub is_shown: bool,
}

/// A column that stands everywhere.
pub(super) const fn shown(name: &'static str) -> Column {
    Column { name, is_shown: true }
}

/// A column for spreadsheets only.
pub(super) const fn for_files(name: &'static str) -> Column {
    Column { name, is_shown: false }
}

/// What stands in a place of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cell {
    /// Somebody's words.
    Text(String),
    /// A date, a name of ours, an id.
    Word(String),
    /// An amount or a count.
    Number(String),
    /// Nothing.
    Empty,
}

impl Cell {
    /// Somebody's words, if there are any.
    pub(super) fn text(text: Option<&str>) -> Cell {
        text.map_or(Cell::Empty, |text| Cell::Text(text.to_owned()))
    }

    /// A date, a name of ours, an id.
    pub(super) fn word(word: impl ToString) -> Cell {
        Cell::Word(word.to_string())
    }

    /// The same, if it is there.
    pub(super) fn word_if(word: Option<impl ToString>) -> Cell {
        word.map_or(Cell::Empty, Cell::word)
    }

    /// An amount or a count.
    pub(super) fn number(number: impl ToString) -> Cell {
        Cell::Number(number.to_string())
    }

    /// As it stands in the terminal.
    pub fn as_str(&self) -> &str {
        match self {
            Cell::Text(text) | Cell::Word(text) | Cell::Number(text) => text,
            Cell::Empty => "",
        }
    }
}

/// A table with its sums below.
#[derive(Debug, Clone, Default)]
pub struct Sheet {
    /// The columns.
    pub columns: Vec<Column>,
    /// As many cells in each as there are columns.
    pub rows: Vec<Vec<Cell>>,
    /// The sums, one row for each currency.
    pub totals: Vec<Vec<Cell>>,
}

impl Sheet {
    /// As a file, with the names of the columns first.
    pub fn to_csv(&self) -> csv::Result<Vec<u8>> {
        let mut file = csv::Writer::from_writer(Vec::new());
        file.write_record(self.columns.iter().map(|column| column.name))?;
        write_rows(&mut file, self.rows.iter().chain(&self.totals))?;
        file.into_inner().map_err(|error| error.into_error().into())
    }
}

/// Rows of a file that has begun already.
pub(super) fn rows_as_csv(rows: &[Vec<Cell>]) -> csv::Result<Vec<u8>> {
    let mut file = csv::Writer::from_writer(Vec::new());
    write_rows(&mut file, rows.iter())?;
    file.into_inner().map_err(|error| error.into_error().into())
}

fn write_rows<'r>(file: &mut csv::Writer<Vec<u8>>, rows: impl Iterator<Item = &'r Vec<Cell>>) -> csv::Result<()> {
    for row in rows {
        for cell in row {
            match cell {
                Cell::Text(text) => file.write_field(&*text_cell(text))?,
                Cell::Word(_) | Cell::Number(_) | Cell::Empty => file.write_field(cell.as_str())?,
            }
        }
        file.write_record(None::<&[u8]>)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_others_are_no_formulas_and_amounts_stay_numbers() {
        let sheet = Sheet {
            columns: vec![shown("renter"), for_files("id"), shown("balance")],
            rows: vec![vec![Cell::Text("=1+1".into()), Cell::word("-x"), Cell::number("-5.00")]],
            totals: vec![vec![Cell::word("Total"), Cell::Empty, Cell::number("-5.00")]],
        };

        let file = String::from_utf8(sheet.to_csv().unwrap()).unwrap();

        assert_eq!(file, "renter,id,balance\n'=1+1,-x,-5.00\nTotal,,-5.00\n");
        assert_eq!(rows_as_csv(&sheet.rows).unwrap(), b"'=1+1,-x,-5.00\n");
    }
}
